#pragma once

#include "CoreMinimal.h"
#include "OmniIDNative.h"
#include "UObject/Object.h"
#include "OmniIDModel.generated.h"

/**
 * An identity model. Made by Open OmniID Model; never changes. A call that uses it continues when it is collected.
 */
UCLASS(BlueprintType)
class OMNIID_API UOmniIDModel : public UObject
{
	GENERATED_BODY()

public:
	/** The model's name; may be empty. */
	UFUNCTION(BlueprintPure, Category = "OmniID")
	FString GetModelName() const;

	/** Fingerprint of the model; its identities carry it. */
	UFUNCTION(BlueprintPure, Category = "OmniID")
	FString GetFingerprint() const;

	/** Whether people can be injected into a host. */
	UFUNCTION(BlueprintPure, Category = "OmniID")
	bool HasAdapter() const;

	/** Whether faces can be detected. */
	UFUNCTION(BlueprintPure, Category = "OmniID")
	bool HasDetector() const;

	/** Attention layers of the host that it is for. */
	UFUNCTION(BlueprintPure, Category = "OmniID")
	int32 GetHostLayerCount() const;

	/** The native engine; null before it was opened. */
	const omniid_plugin::EnginePtr& GetNative() const
	{
		return Native;
	}

	void SetNative(omniid_plugin::EnginePtr Opened);

private:
	omniid_plugin::EnginePtr Native;
	omniid::EngineInfo Info;
};
