/* Tensors: views of the host's memory, and DLPack tensors that the library hands out. */
#ifndef OMNIID_TENSOR_HPP
#define OMNIID_TENSOR_HPP

#include "config.hpp"
#include "error.hpp"
#include "handle.hpp"
#include "span.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace omniid {
inline namespace OMNIID_INLINE_NAMESPACE {

/// Number types of tensors.
enum class NumberType : std::uint8_t {
    f32,   ///< IEEE, 32 bits.
    f16,   ///< IEEE, 16 bits.
    bf16,  ///< bfloat16.
    other, ///< Anything else; the library refuses it.
};

/// Where a tensor's memory is.
struct Device {
    std::int32_t type = OMNIID_DEVICE_TYPE_CPU; ///< OMNIID_DEVICE_TYPE_CPU or OMNIID_DEVICE_TYPE_CUDA.
    std::int32_t ordinal = 0;                   ///< Which GPU.

    /// The processor's memory.
    [[nodiscard]] static constexpr Device cpu() noexcept { return {}; }
    /// The memory of an NVIDIA GPU.
    [[nodiscard]] static constexpr Device cuda(std::int32_t ordinal = 0) noexcept {
        return {OMNIID_DEVICE_TYPE_CUDA, ordinal};
    }

    /// Whether both are the same device.
    friend constexpr bool operator==(Device a, Device b) noexcept { return a.type == b.type && a.ordinal == b.ordinal; }
    /// Whether they are different devices.
    friend constexpr bool operator!=(Device a, Device b) noexcept { return !(a == b); }
};

namespace detail {

[[nodiscard]] inline omniid_tensor_type to_c(NumberType type) noexcept {
    omniid_tensor_type c{};
    c.code = type == NumberType::bf16 ? std::uint8_t{OMNIID_TYPE_CODE_BFLOAT} : std::uint8_t{OMNIID_TYPE_CODE_FLOAT};
    c.bits = 16;
    if (type == NumberType::f32) c.bits = 32;
    if (type == NumberType::other) c.bits = 0;
    c.lanes = 1;
    return c;
}

[[nodiscard]] inline NumberType from_c(const omniid_tensor_type &c) noexcept {
    if (c.lanes == 1 && c.code == OMNIID_TYPE_CODE_FLOAT && c.bits == 32) return NumberType::f32;
    if (c.lanes == 1 && c.code == OMNIID_TYPE_CODE_FLOAT && c.bits == 16) return NumberType::f16;
    if (c.lanes == 1 && c.code == OMNIID_TYPE_CODE_BFLOAT && c.bits == 16) return NumberType::bf16;
    return NumberType::other;
}

} // namespace detail

/// A tensor in the host's memory, of 1 to 4 dimensions. Holds shape and strides itself, so it can be made on the fly:
///
///     TensorView(query, {2, 64, 320})                                  f32 on the CPU
///     TensorView(query, NumberType::f16, {2, 64, 320}, Device::cuda())
class TensorView {
  public:
    /// f32 numbers on the CPU, row-major, without gaps.
    template <std::size_t Dimensions>
    TensorView(float *data, const std::int64_t (&shape)[Dimensions]) noexcept
        : TensorView(data, NumberType::f32, shape, Device::cpu()) {}

    /// Numbers of any type on any device, row-major, without gaps.
    template <std::size_t Dimensions>
    TensorView(void *data, NumberType type, const std::int64_t (&shape)[Dimensions],
               Device device = Device::cpu()) noexcept
        : data_(data), type_(detail::to_c(type)), device_(device), dimensions_(static_cast<std::int32_t>(Dimensions)) {
        static_assert(Dimensions >= 1 && Dimensions <= 4, "tensors have 1 to 4 dimensions");
        for (std::size_t i = 0; i < Dimensions; i++) shape_[i] = shape[i];
    }

    /// The same with strides: the distance between neighbours in each dimension, in numbers.
    template <std::size_t Dimensions>
    TensorView(void *data, NumberType type, const std::int64_t (&shape)[Dimensions],
               const std::int64_t (&strides)[Dimensions], Device device = Device::cpu()) noexcept
        : TensorView(data, type, shape, device) {
        has_strides_ = true;
        for (std::size_t i = 0; i < Dimensions; i++) strides_[i] = strides[i];
    }

    /// A view of another library's DLPack tensor, which keeps its memory. Calls refuse one of more than 4 dimensions.
    explicit TensorView(const omniid_tensor &tensor) noexcept
        : data_(tensor.data),
          type_(tensor.dtype),
          device_{static_cast<std::int32_t>(tensor.device.device_type), tensor.device.device_id},
          dimensions_(tensor.ndim),
          byte_offset_(tensor.byte_offset),
          has_strides_(tensor.strides != nullptr) {
        for (std::size_t i = 0; i < shape_.size() && static_cast<std::int32_t>(i) < tensor.ndim; i++) {
            shape_[i] = tensor.shape[i];
            if (has_strides_) strides_[i] = tensor.strides[i];
        }
        if (dimensions_ > 4) dimensions_ = 0; // refused by the library, which reads no shape then
    }

    /// As the C ABI takes it; valid while this view lives and stays where it is.
    [[nodiscard]] omniid_tensor c() const noexcept {
        omniid_tensor tensor{};
        tensor.data = data_;
        tensor.device.device_type = static_cast<decltype(tensor.device.device_type)>(device_.type);
        tensor.device.device_id = device_.ordinal;
        tensor.ndim = dimensions_;
        tensor.dtype = type_;
        // DLPack's fields are not const; the library only reads them.
        tensor.shape = const_cast<std::int64_t *>(shape_.data());
        tensor.strides = has_strides_ ? const_cast<std::int64_t *>(strides_.data()) : nullptr;
        tensor.byte_offset = byte_offset_;
        return tensor;
    }

    /// Start of the memory, on the device.
    [[nodiscard]] void *data() const noexcept { return data_; }
    /// Type of the numbers.
    [[nodiscard]] NumberType type() const noexcept { return detail::from_c(type_); }
    /// Where the memory is.
    [[nodiscard]] Device device() const noexcept { return device_; }
    /// Size of each dimension.
    [[nodiscard]] span<const std::int64_t> shape() const noexcept {
        return {shape_.data(), static_cast<std::size_t>(dimensions_)};
    }

  private:
    void *data_;
    omniid_tensor_type type_;
    Device device_;
    std::int32_t dimensions_;
    std::uint64_t byte_offset_ = 0;
    std::array<std::int64_t, 4> shape_{};
    std::array<std::int64_t, 4> strides_{};
    bool has_strides_ = false;
};

/// A read-only DLPack tensor that the library has handed out, row-major without gaps. release() gives it to another
/// library, which calls its deleter. Empty where there is nothing to hand out: then only get(), release(), floats() and
/// operator bool may be called.
class Tensor : public detail::Handle<omniid_managed_tensor, omniid_managed_tensor_free> {
  public:
    using Handle::Handle;

    /// The DLPack tensor inside.
    [[nodiscard]] const omniid_tensor &dlpack() const noexcept { return get()->dl_tensor; }

    /// Type of the numbers.
    [[nodiscard]] NumberType type() const noexcept { return detail::from_c(dlpack().dtype); }
    /// Where the memory is.
    [[nodiscard]] Device device() const noexcept {
        return {static_cast<std::int32_t>(dlpack().device.device_type), dlpack().device.device_id};
    }
    /// Size of each dimension.
    [[nodiscard]] span<const std::int64_t> shape() const noexcept {
        return {dlpack().shape, static_cast<std::size_t>(dlpack().ndim)};
    }

    /// Number of numbers.
    [[nodiscard]] std::size_t size() const noexcept {
        std::size_t size = 1;
        for (const std::int64_t extent : shape()) size *= static_cast<std::size_t>(extent);
        return size;
    }

    /// The numbers, if they are NumberType::f32 on the CPU; otherwise an empty span.
    [[nodiscard]] span<const float> floats() const noexcept {
        if (!*this || type() != NumberType::f32 || device() != Device::cpu()) return {};
        return {static_cast<const float *>(data()), size()};
    }

    /// Start of the numbers, on the device.
    [[nodiscard]] const void *data() const noexcept {
        return static_cast<const char *>(dlpack().data) + dlpack().byte_offset;
    }
};

} // namespace OMNIID_INLINE_NAMESPACE
} // namespace omniid

#endif
