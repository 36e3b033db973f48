#include <iostream>

int main() {
    std::cout << "bar: compiled as C++\n";
}
