// zone prints which zone of prices a delivery is in, by its distance.
#include "geo.hpp"

#include <cstdio>

int main(int argc, char** argv) {
    const geo::Place* from = argc == 3 ? geo::find(argv[1]) : nullptr;
    const geo::Place* to = argc == 3 ? geo::find(argv[2]) : nullptr;
    if (!from || !to) {
        std::fprintf(stderr, "usage: zone DEPOT DEPOT\n");
        return 2;
    }
    double d = geo::distance(*from, *to);
    std::printf("zone %d\n", d == 0 ? 0 : d < 200 ? 1 : d < 400 ? 2 : 3);
}
