/*
 * OmniID in C++17: the whole C ABI as types that own what they hold.
 *
 *     #include <omniid.hpp>
 *
 *     auto engine = omniid::Engine::open("model.safetensors");
 *     auto identity = engine.encode({omniid::Photo::file("a.jpg"), omniid::Photo::file("b.jpg")});
 *     auto conditioning = engine.condition(identity, 0.8f);
 *     // at each attention layer, at each step:
 *     conditioning.inject(omniid::InjectCall(layer, query, output));
 *
 * Everything is inline over omniid.h, whose first page states the rules for threads, aliasing and compatibility; they
 * hold here unchanged. The differences:
 *
 * Errors. A call that fails throws omniid::Error, with the status and the library's message. Where OMNIID_NO_EXCEPTIONS
 * is defined (or the compiler has exceptions off), nothing throws: a call returns omniid::Result<T>, which holds the
 * value or the Error. In what follows and in the parts, Result<T> is T itself where exceptions are on.
 *
 * Ownership. Engine, Identity, Report, Conditioning and Tensor are handles: they can be moved, not copied, and free what
 * they hold. A handle that was moved from is empty; calls on it fail with Status::invalid_argument. get() lends the C
 * handle, release() gives it away, and a constructor takes it.
 *
 * Lifetimes. Options keep copies of the texts given to them. Photos, masks, pictures and tensors are views of the
 * caller's memory, which must live until the call returns; results never refer to it. Texts in results live as long as
 * the handle they came from.
 *
 * Callbacks. Progress is any callable that takes an omniid::Progress and returns bool (true: go on) or nothing. An
 * exception in it ends the long call and comes out of it unchanged; it never passes through C.
 */
#ifndef OMNIID_HPP
#define OMNIID_HPP

#include "omniid/conditioning.hpp"
#include "omniid/engine.hpp"
#include "omniid/error.hpp"
#include "omniid/identity.hpp"
#include "omniid/log.hpp"
#include "omniid/photo.hpp"
#include "omniid/progress.hpp"
#include "omniid/report.hpp"
#include "omniid/span.hpp"
#include "omniid/tensor.hpp"
#include "omniid/version.hpp"

#endif
