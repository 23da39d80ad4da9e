#pragma once

#include "Containers/Ticker.h"
#include "CoreMinimal.h"
#include "Kismet/BlueprintAsyncActionBase.h"
#include "OmniIDTypes.h"

#include <memory>

#include "OmniIDAsyncAction.generated.h"

namespace omniid_plugin
{
class Job;
}

DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(FOmniIDProgressed, FOmniIDProgress, Progress);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(FOmniIDFailed, FOmniIDError, Error);

/**
 * A long call of OmniID as a Blueprint node. The call runs on a thread of its own; the outputs run on the game thread, and
 * not any more after the game instance has ended.
 */
UCLASS(Abstract)
class OMNIID_API UOmniIDAsyncAction : public UBlueprintAsyncActionBase
{
	GENERATED_BODY()

public:
	/** It is this far; at most once in a frame. */
	UPROPERTY(BlueprintAssignable)
	FOmniIDProgressed OnProgress;

	/** It failed, or was cancelled: then the status is Cancelled. */
	UPROPERTY(BlueprintAssignable)
	FOmniIDFailed OnFailed;

	/** Stops the call at its next photo, batch or layer. */
	UFUNCTION(BlueprintCallable, Category = "OmniID")
	void Cancel();

	/** Whether the call is running. */
	UFUNCTION(BlueprintPure, Category = "OmniID")
	bool IsRunning() const
	{
		return bRunning;
	}

	virtual void BeginDestroy() override;

protected:
	/** What is left to do on the game thread when the call has ended. */
	using FFinish = TUniqueFunction<void()>;

	/** Runs Work on a thread of its own, then what it returns on the game thread, if this object is still there. */
	void Run(TUniqueFunction<FFinish(omniid_plugin::Job&)> Work);

	/** Says that the call failed. */
	void Fail(const FOmniIDError& Error);

private:
	bool Tick(float DeltaTime);
	void Stop();

	std::shared_ptr<omniid_plugin::Job> Current;
	FTSTicker::FDelegateHandle Ticker;
	FOmniIDProgress Shown;
	bool bRunning = false;
};
