#pragma once

#include "CoreMinimal.h"
#include "OmniIDNative.h"
#include "UObject/Object.h"
#include "OmniIDConditioning.generated.h"

/**
 * Keys and values of people for every attention layer of a host. Made by Condition OmniID People; never changes. A
 * renderer calls GetNative()->inject() in each layer at each step, on any thread.
 */
UCLASS(BlueprintType)
class OMNIID_API UOmniIDConditioning : public UObject
{
	GENERATED_BODY()

public:
	/** Attention layers of the host. */
	UFUNCTION(BlueprintPure, Category = "OmniID")
	int32 GetLayerCount() const;

	/** Index of the layer with a name, in diffusers', LDM's or ComfyUI's spelling; -1 if there is none. */
	UFUNCTION(BlueprintPure, Category = "OmniID")
	int32 FindLayer(const FString& LayerName) const;

	/** The native conditioning; null if there is none. */
	const omniid_plugin::ConditioningPtr& GetNative() const
	{
		return Native;
	}

	void SetNative(omniid_plugin::ConditioningPtr Made)
	{
		Native = MoveTemp(Made);
	}

private:
	omniid_plugin::ConditioningPtr Native;
};
