#include "geo.hpp"

#include <cmath>

namespace geo {

const std::vector<Place>& depots() {
    static const std::vector<Place> all = {
        {"Berlin", 52.52, 13.405},  {"Hamburg", 53.551, 9.994}, {"Munich", 48.137, 11.575},
        {"Leipzig", 51.34, 12.375}, {"Cologne", 50.938, 6.96},
    };
    return all;
}

const Place* find(const std::string& name) {
    for (const Place& p : depots())
        if (p.name == name) return &p;
    return nullptr;
}

double distance(const Place& a, const Place& b) {
    const double radian = std::acos(-1) / 180, radius = 6371;
    double dlat = (b.latitude - a.latitude) * radian, dlon = (b.longitude - a.longitude) * radian;
    double h = std::pow(std::sin(dlat / 2), 2) +
               std::cos(a.latitude * radian) * std::cos(b.latitude * radian) * std::pow(std::sin(dlon / 2), 2);
    return 2 * radius * std::asin(std::sqrt(h));
}

} // namespace geo
