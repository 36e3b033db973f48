#include "geo.hpp"

#include <cmath>
#include <cstdio>

static int failures = 0;

static void near(const char* what, double got, double want, double tolerance) {
    if (std::fabs(got - want) <= tolerance) return;
    std::fprintf(stderr, "%s: %.1f, want %.1f\n", what, got, want);
    failures++;
}

int main() {
    near("Berlin-Hamburg", geo::distance(*geo::find("Berlin"), *geo::find("Hamburg")), 255, 2);
    near("Berlin-Munich", geo::distance(*geo::find("Berlin"), *geo::find("Munich")), 504, 2);
    near("nowhere", geo::distance(*geo::find("Leipzig"), *geo::find("Leipzig")), 0, 0);
    if (geo::find("Atlantis")) failures++;
    return failures != 0;
}
