// route orders depots for a tour from the first one, always to the nearest next.
#include "geo.hpp"

#include <algorithm>
#include <cstdio>
#include <vector>

int main(int argc, char** argv) {
    std::vector<const geo::Place*> left;
    for (int i = 1; i < argc; i++) {
        const geo::Place* p = geo::find(argv[i]);
        if (!p) {
            std::fprintf(stderr, "no depot in %s\n", argv[i]);
            return 1;
        }
        left.push_back(p);
    }
    if (left.empty()) {
        std::fprintf(stderr, "usage: route FROM [DEPOT...]\n");
        return 2;
    }
    const geo::Place* at = left.front();
    left.erase(left.begin());
    double total = 0;
    std::printf("%s\n", at->name.c_str());
    while (!left.empty()) {
        auto next = std::min_element(left.begin(), left.end(), [&](const geo::Place* a, const geo::Place* b) {
            return geo::distance(*at, *a) < geo::distance(*at, *b);
        });
        double d = geo::distance(*at, **next);
        total += d;
        at = *next;
        left.erase(next);
        std::printf("%s +%.0f km\n", at->name.c_str(), d);
    }
    std::printf("%.0f km\n", total);
}
