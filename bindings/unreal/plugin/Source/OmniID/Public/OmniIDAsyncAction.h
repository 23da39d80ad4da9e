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
 * A long call of OmniID as a Blueprint node. The call runs on a thread of its own; the outputs run on the game thread,
 * and no longer after the game instance has ended.
 */
UCLASS(Abstract)
class OMNIID_API UOmniIDAsyncAction : public UBlueprintAsyncActionBase
{
	GENERATED_BODY()

public:
	/** The call has made progress; at most once per frame. */
	UPROPERTY(BlueprintAssignable)
	FOmniIDProgressed OnProgress;

	/** The call failed. If it was cancelled, the status is Cancelled. */
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
	/** What remains to be done on the game thread when the call has ended. */
	using FFinish = TUniqueFunction<void()>;

	/** Runs Work on a thread of its own, then what it returns on the game thread, if this object is still there. */
	void Run(TUniqueFunction<FFinish(omniid_plugin::Job&)> Work);

	/** Reports that the call failed. */
	void Fail(const FOmniIDError& Error);

private:
	bool Tick(float DeltaTime);
	void Stop();

	std::shared_ptr<omniid_plugin::Job> Current;
	FTSTicker::FDelegateHandle Ticker;
	FOmniIDProgress Shown;
	bool bRunning = false;
};
