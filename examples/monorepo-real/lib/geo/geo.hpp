// What the services know about places.
#pragma once

#include <string>
#include <vector>

namespace geo {

struct Place {
    std::string name;
    double latitude, longitude; // degrees
};

// All places with a depot.
const std::vector<Place>& depots();

// The depot of a name, or nullptr.
const Place* find(const std::string& name);

// The distance of two places along the surface, in kilometres.
double distance(const Place& a, const Place& b);

} // namespace geo
