#include "OmniIDModule.h"

#include "HAL/PlatformProcess.h"
#include "Interfaces/IPluginManager.h"
#include "Misc/Paths.h"
#include "OmniIDConversions.h"
#include "OmniIDRunningJobs.h"

#include <optional>

DEFINE_LOG_CATEGORY(LogOmniID);

IMPLEMENT_MODULE(FOmniIDModule, OmniID)

namespace
{
/** Where the library is, as assemble lays it out and OmniIDLibrary.Build.cs stages it. */
#if PLATFORM_WINDOWS
const TCHAR* const LibraryName = TEXT("Win64/omniid.dll");
#elif PLATFORM_MAC
const TCHAR* const LibraryName = TEXT("Mac/libomniid.1.dylib");
#else
const TCHAR* const LibraryName = TEXT("Linux/libomniid.so.1");
#endif

bool bLoaded = false;
std::optional<omniid::Log> LibraryLog;

void Forward(omniid::LogLevel Level, std::string_view Target, std::string_view Message)
{
	const FString Text = omniid_plugin::FromUtf8(Message);
	const FString Where = omniid_plugin::FromUtf8(Target);
	switch (Level)
	{
	case omniid::LogLevel::error:
		UE_LOG(LogOmniID, Error, TEXT("%s: %s"), *Where, *Text);
		break;
	case omniid::LogLevel::warn:
		UE_LOG(LogOmniID, Warning, TEXT("%s: %s"), *Where, *Text);
		break;
	default:
		UE_LOG(LogOmniID, Log, TEXT("%s: %s"), *Where, *Text);
		break;
	}
}
} // namespace

omniid_plugin::RunningJobs& OmniIDRunningJobs()
{
	static omniid_plugin::RunningJobs All;
	return All;
}

void FOmniIDModule::StartupModule()
{
	const TSharedPtr<IPlugin> Plugin = IPluginManager::Get().FindPlugin(TEXT("OmniID"));
	const FString Folder = Plugin.IsValid() ? Plugin->GetBaseDir() : FString();
	const FString Library = FPaths::Combine(Folder, TEXT("Binaries/ThirdParty/OmniIDLibrary"), LibraryName);
	// On Windows the library is delay-loaded: it must be in memory before the first call. It is never unloaded, because
	// it keeps threads and thread-local data.
	bLoaded = FPlatformProcess::GetDllHandle(*Library) != nullptr;
	if (!bLoaded)
	{
		UE_LOG(LogOmniID, Error, TEXT("%s cannot be loaded; OmniID's nodes will fail"), *Library);
		return;
	}
	const uint32 Version = omniid_abi_version();
	if (Version >> 16 != OMNIID_ABI_MAJOR || Version < static_cast<uint32>(OMNIID_ABI_VERSION))
	{
		UE_LOG(LogOmniID, Error, TEXT("%s has ABI version %u.%u; this plugin needs %u.%u"), *Library, Version >> 16,
			Version & 0xffff, static_cast<uint32>(OMNIID_ABI_MAJOR), static_cast<uint32>(OMNIID_ABI_MINOR));
		bLoaded = false;
		return;
	}
	OmniIDRunningJobs().start();
	omniid::Result<omniid::Log> Installed = omniid::Log::install(&Forward, omniid::LogLevel::info);
	if (Installed)
	{
		LibraryLog.emplace(std::move(Installed).value());
	}
}

void FOmniIDModule::ShutdownModule()
{
	if (bLoaded)
	{
		OmniIDRunningJobs().shut_down();
		LibraryLog.reset();
		bLoaded = false;
	}
}

bool FOmniIDModule::IsLoaded()
{
	return bLoaded;
}
