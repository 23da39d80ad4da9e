/*
 * OmniID in C++17: the whole C ABI as types that own what they hold.
 *
 *     #include <omniid.hpp>
 *
 *     auto engine = omniid::Engine::open("model.safetensors").value();
 *     auto person = engine.encode({omniid::Photo::file("a.jpg"), omniid::Photo::file("b.jpg")}).value();
 *     auto conditioning = engine.condition(person.identity, 0.8f).value();
 *     // at each attention layer, at each step:
 *     conditioning.inject(omniid::InjectCall(layer, query, output)).value();
 *
 * Everything is inline over omniid.h. The rules for threads, aliasing and compatibility on its first page hold here as
 * well. The differences:
 *
 * Errors. A call that can fail returns an omniid::Result<T>, named as std::expected: it holds the value, or an
 * omniid::Error with the status and the library's message. value(), `*` and `->` of a failed call throw the Error; in
 * files that are compiled without exceptions (or with OMNIID_NO_EXCEPTIONS) they print its message and end the program.
 *
 * Ownership. Engine, Identity, Conditioning and Tensor are handles: they can be moved, not copied, and free what they
 * hold. A handle that was moved from is empty; calls on it fail with Status::invalid_argument. get() lends the C
 * handle, release() gives it away, and a constructor takes it over.
 *
 * Lifetimes. Options keep copies of the strings given to them. Photos, masks, images and tensors are views of the
 * caller's memory, which must live until the call returns; results never refer to it. The strings of descriptions live
 * as long as the handle that they describe.
 *
 * Callbacks. Progress is any callable that takes an omniid::Progress and returns bool (true: continue) or nothing. An
 * exception in it ends the long call and comes out of it unchanged; it never passes through C.
 */
#ifndef OMNIID_HPP
#define OMNIID_HPP

#include "omniid/conditioning.hpp"
#include "omniid/encode.hpp"
#include "omniid/engine.hpp"
#include "omniid/error.hpp"
#include "omniid/face_embedding.hpp"
#include "omniid/graph.hpp"
#include "omniid/identity.hpp"
#include "omniid/log.hpp"
#include "omniid/photo.hpp"
#include "omniid/progress.hpp"
#include "omniid/span.hpp"
#include "omniid/tensor.hpp"
#include "omniid/version.hpp"

#endif
