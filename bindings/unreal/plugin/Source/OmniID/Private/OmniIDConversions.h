/* Conversions between Unreal's types and the library's. */
#pragma once

#include "Core/Calls.h"
#include "CoreMinimal.h"
#include "OmniIDTypes.h"

#include <string>
#include <string_view>

namespace omniid_plugin
{
inline std::string ToUtf8(const FString& Text)
{
	return std::string(TCHAR_TO_UTF8(*Text));
}

inline FString FromUtf8(std::string_view Text)
{
	// A view need not end with a zero.
	return FString(UTF8_TO_TCHAR(std::string(Text).c_str()));
}

FOmniIDError ToError(const omniid::Error& Error);
FOmniIDProgress ToProgress(const JobProgress& Progress);
FOmniIDPhotoReport ToReport(const omniid::PhotoReport& Report);

/** A photo that owns its file name, bytes or pixels. */
PhotoSource ToSource(const FOmniIDPhoto& Photo);

omniid::EncodeOptions ToOptions(const FOmniIDEncodeSettings& Settings);
omniid::EngineOptions ToOptions(const FOmniIDModelSettings& Settings);
} // namespace omniid_plugin
