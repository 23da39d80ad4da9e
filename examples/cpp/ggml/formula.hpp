/*
 * What an injection adds, written out in plain C++ from the keys and values that OmniID hands out. For checks.
 */
#ifndef FORMULA_HPP
#define FORMULA_HPP

#include <ggml.h>
#include <omniid.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

/// The numbers of a tensor of f32, f16 or bf16.
inline std::vector<float> numbers(const omniid::Tensor &tensor) {
    std::vector<float> values(tensor.size());
    if (tensor.type() == omniid::NumberType::f32)
        std::copy_n(static_cast<const float *>(tensor.data()), values.size(), values.begin());
    else if (tensor.type() == omniid::NumberType::f16)
        ggml_fp16_to_fp32_row(static_cast<const ggml_fp16_t *>(tensor.data()), values.data(),
                              static_cast<std::int64_t>(values.size()));
    else
        ggml_bf16_to_fp32_row(static_cast<const ggml_bf16_t *>(tensor.data()), values.data(),
                              static_cast<std::int64_t>(values.size()));
    return values;
}

/// Adds scale x mask x softmax(query Kt / sqrt(head_dim)) V of one identity to one batch row of `output`.
inline void attend(const omniid::Conditioning &conditioning, std::size_t layer, std::size_t identity, omniid::Role role,
                   float scale, std::uint32_t latent_height, std::uint32_t latent_width,
                   const std::vector<float> &query, std::vector<float> &output, std::size_t rows,
                   std::size_t batch_row) {
    const omniid::Tensor keys = conditioning.keys(layer, identity, role).value(),
                         values = conditioning.values(layer, identity, role).value();
    if (!keys) return;
    const auto tokens = static_cast<std::size_t>(keys.shape()[0]), heads = static_cast<std::size_t>(keys.shape()[1]),
               dim = static_cast<std::size_t>(keys.shape()[2]), width = heads * dim;
    const std::vector<float> key = numbers(keys), value = numbers(values);
    std::vector<float> mask(rows);
    conditioning.mask_factors(identity, mask, latent_height, latent_width).value();
    const float factor = scale * conditioning.factor(layer, identity).value();
    std::vector<double> weights(tokens);
    for (std::size_t row = 0; row < rows; row++)
        for (std::size_t head = 0; head < heads; head++) {
            const std::size_t start = (batch_row * rows + row) * width + head * dim;
            double largest = -std::numeric_limits<double>::infinity(), sum = 0.0;
            for (std::size_t t = 0; t < tokens; t++) {
                weights[t] = 0.0;
                for (std::size_t i = 0; i < dim; i++)
                    weights[t] += double{query[start + i]} * double{key[t * width + head * dim + i]} /
                                  std::sqrt(static_cast<double>(dim));
                largest = std::max(largest, weights[t]);
            }
            for (double &weight : weights) sum += weight = std::exp(weight - largest);
            for (std::size_t i = 0; i < dim; i++) {
                double mixed = 0.0;
                for (std::size_t t = 0; t < tokens; t++)
                    mixed += weights[t] / sum * double{value[t * width + head * dim + i]};
                output[start + i] += static_cast<float>(double{factor} * double{mask[row]} * mixed);
            }
        }
}

#endif
