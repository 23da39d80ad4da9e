/* What the code in docs/hosts/c.md takes from the host's program. */
#include <omniid.h>

extern omniid_engine *engine;
extern omniid_identity *identity;
extern omniid_conditioning *conditioning;
extern omniid_conditioning_input input;
extern omniid_tensor query, output, image, keys_of_image, values_of_image;
extern size_t layer, batch;
extern const int32_t *roles;
extern const float *values;
extern float landmarks[10];
extern double sigma;
extern uint8_t *pixels;
extern uint32_t width, height;
