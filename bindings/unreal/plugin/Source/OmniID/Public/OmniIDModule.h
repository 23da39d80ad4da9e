#pragma once

#include "CoreMinimal.h"
#include "Modules/ModuleManager.h"

DECLARE_LOG_CATEGORY_EXTERN(LogOmniID, Log, All);

/** Loads the native library, and ends running calls before the plugin is unloaded. */
class OMNIID_API FOmniIDModule : public IModuleInterface
{
public:
	virtual void StartupModule() override;
	virtual void ShutdownModule() override;

	/** Whether the native library is there, so that the nodes work. */
	static bool IsLoaded();
};
