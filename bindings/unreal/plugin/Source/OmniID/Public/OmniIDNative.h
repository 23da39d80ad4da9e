/*
 * omniid.hpp as the plugin uses it: without exceptions, which Unreal's modules do not have by default. For renderers
 * that call the library on the handles of the plugin's objects. Does not depend on Unreal.
 */
#pragma once

#if defined(THIRD_PARTY_INCLUDES_START)
THIRD_PARTY_INCLUDES_START
#endif
#if !defined(OMNIID_NO_EXCEPTIONS)
#define OMNIID_NO_EXCEPTIONS 1
#endif
#include <memory>
#include <omniid.hpp>
#if defined(THIRD_PARTY_INCLUDES_END)
THIRD_PARTY_INCLUDES_END
#endif

namespace omniid_plugin {

/// Handles never change, so objects, running calls and renderers share them. The last owner frees a handle.
using EnginePtr = std::shared_ptr<const omniid::Engine>;
using IdentityPtr = std::shared_ptr<const omniid::Identity>;
using ConditioningPtr = std::shared_ptr<const omniid::Conditioning>;

} // namespace omniid_plugin
