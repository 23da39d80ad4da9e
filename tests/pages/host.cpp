// What the code in docs/hosts/cpp.md takes from the host's program.
#include <omniid.hpp>

struct Window {
    bool closed() const;
};
extern Window window;
template <typename... Values> void log(const Values &...values);
extern omniid::Engine &engine;
extern omniid::Identity &identity;
extern omniid::Conditioning &conditioning;
extern std::size_t layer;
extern std::int64_t batch, rows, width, hidden;
extern float *query, *output, *image, *image_keys, *image_values;
extern std::vector<omniid::Role> roles;
extern std::vector<float> values;
extern omniid::Landmarks landmarks;
extern double sigma;
