#include <iostream>

int main() {
    std::cout << "binary 1: hello\n";
}
