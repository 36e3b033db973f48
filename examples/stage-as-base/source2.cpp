#include <iostream>
#include <numeric>
#include <vector>

int main() {
    std::vector<int> numbers(10);
    std::iota(numbers.begin(), numbers.end(), 1);
    std::cout << "binary 2: 1 + ... + 10 = "
              << std::accumulate(numbers.begin(), numbers.end(), 0) << "\n";
}
