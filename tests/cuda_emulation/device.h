// Enough of CUDA's device language to run a kernel's own source on the CPU.
//
// Every CUDA thread of a block is a fiber; all fibers of a block run on one CPU thread and switch only at barriers and
// shuffles. That shows wrong indices, missing barriers between warps (each runs as far ahead of the others as the
// barriers allow) and reads of shared memory that nobody wrote (it starts as NaN). It shows
// nothing about speed, nor about races inside a warp.
#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#define __global__
#define __device__
#define __shared__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(threads)

struct Dim3 {
    unsigned int x, y, z;
};
struct alignas(16) float4 {
    float x, y, z, w;
};

inline constexpr int kThreads = 128;
inline constexpr int kWarp = 32;
inline float4 shared4[16384];
inline Dim3 blockIdx, threadIdx, blockDim;

namespace device {

struct Barrier {
    int arrived = 0;
    int generation = 0;
};

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack = std::make_unique<char[]>(256 * 1024);
    bool done = false;
    bool at_block_barrier = false;
};

inline Fiber fibers[kThreads];
inline ucontext_t scheduler;
inline int current;
inline Barrier block_barrier, warp_barriers[kThreads / kWarp];
inline float exchange[kThreads];
inline int vote;
inline std::function<void()> body;

inline void yield() {
    const int self = current;
    swapcontext(&fibers[self].context, &scheduler);
}

inline void wait(Barrier &barrier, int count) {
    const int generation = barrier.generation;
    if (++barrier.arrived == count) {
        barrier.arrived = 0;
        ++barrier.generation;
        return;
    }
    fibers[current].at_block_barrier = &barrier == &block_barrier;
    while (barrier.generation == generation) yield();
    fibers[current].at_block_barrier = false;
}

inline void wait_block() { wait(block_barrier, kThreads); }
inline void wait_warp() { wait(warp_barriers[current / kWarp], kWarp); }

inline void enter() {
    body();
    fibers[current].done = true;
    swapcontext(&fibers[current].context, &scheduler);
}

// Runs one block. A kernel that leaves some threads at a barrier for ever is reported and ends the program.
inline void run_block() {
    for (float4 &value : shared4) value = {NAN, NAN, NAN, NAN};
    block_barrier = {};
    for (Barrier &barrier : warp_barriers) barrier = {};
    vote = 0;
    for (Fiber &fiber : fibers) {
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.get();
        fiber.context.uc_stack.ss_size = 256 * 1024;
        fiber.context.uc_link = nullptr;
        fiber.done = false;
        makecontext(&fiber.context, enter, 0);
    }
    // A warp runs until all of it waits for the block or has ended; only then the next one gets its turn. So a warp is
    // as far ahead of the others as the barriers allow, and a missing one shows.
    for (int round = 0; round < 1'000'000; ++round) {
        bool ended = true;
        for (int warp = 0; warp < kThreads / kWarp; ++warp) {
            bool stuck = false;
            while (!stuck) {
                stuck = true;
                for (int thread = warp * kWarp; thread < (warp + 1) * kWarp; ++thread) {
                    if (fibers[thread].done) continue;
                    ended = false;
                    current = thread;
                    threadIdx = {static_cast<unsigned int>(thread), 0, 0};
                    swapcontext(&scheduler, &fibers[thread].context);
                    if (!fibers[thread].done && !fibers[thread].at_block_barrier) stuck = false;
                }
            }
        }
        if (ended) return;
    }
    std::fprintf(stderr, "the block does not end: threads wait at different barriers\n");
    std::exit(1);
}

template <typename Call>
void launch(Dim3 grid, Call call) {
    body = call;
    blockDim = {kThreads, 1, 1};
    for (unsigned int z = 0; z < grid.z; ++z)
        for (unsigned int y = 0; y < grid.y; ++y)
            for (unsigned int x = 0; x < grid.x; ++x) {
                blockIdx = {x, y, z};
                run_block();
            }
}

// The two conversions that element.cuh writes as PTX. They name their operands `value` and `bits`.
inline void convert(const char *instruction, float &value, unsigned short &bits) {
    _Float16 half;
    if (std::strstr(instruction, "cvt.f32.f16")) {
        std::memcpy(&half, &bits, 2);
        value = half;
    } else if (std::strstr(instruction, "cvt.rn.f16.f32")) {
        half = static_cast<_Float16>(value);
        std::memcpy(&bits, &half, 2);
    } else {
        std::fprintf(stderr, "unknown instruction %s\n", instruction);
        std::exit(1);
    }
}

}  // namespace device

#define asm(...) device::convert(#__VA_ARGS__, value, bits)

inline void __syncthreads() { device::wait_block(); }

inline int __syncthreads_or(int predicate) {
    if (predicate) device::vote = 1;
    device::wait_block();
    const int result = device::vote;
    device::wait_block();
    device::vote = 0;
    device::wait_block();
    return result;
}

inline float __shfl_xor_sync(unsigned int, float value, int mask) {
    device::exchange[threadIdx.x] = value;
    device::wait_warp();
    const float result = device::exchange[device::current ^ mask];
    device::wait_warp();
    return result;
}

inline float __uint_as_float(unsigned int bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}
inline unsigned int __float_as_uint(float value) {
    unsigned int bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}
inline float __int_as_float(unsigned int bits) { return __uint_as_float(bits); }
