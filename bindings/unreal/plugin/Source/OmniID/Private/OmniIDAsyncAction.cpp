#include "OmniIDAsyncAction.h"

#include "Async/Async.h"
#include "OmniIDConversions.h"
#include "OmniIDModule.h"
#include "OmniIDRunningJobs.h"
#include "UObject/WeakObjectPtr.h"

void UOmniIDAsyncAction::Run(TUniqueFunction<FFinish(omniid_plugin::Job&)> Work)
{
	std::shared_ptr<omniid_plugin::Job> Mine = std::make_shared<omniid_plugin::Job>();
	omniid_plugin::RunningJobs::Entry Entry;
	if (FOmniIDModule::IsLoaded())
	{
		Entry = OmniIDRunningJobs().begin(Mine);
	}
	if (!Entry)
	{
		FOmniIDError Error;
		Error.Status = EOmniIDStatus::Unsupported;
		Error.Message = TEXT("the OmniID library is not loaded, or is about to be taken away");
		Fail(Error);
		return;
	}
	Current = Mine;
	bRunning = true;
	Ticker = FTSTicker::GetCoreTicker().AddTicker(FTickerDelegate::CreateUObject(this, &UOmniIDAsyncAction::Tick));
	TWeakObjectPtr<UOmniIDAsyncAction> Self(this);
	Async(EAsyncExecution::Thread, [Self, Mine, Work = MoveTemp(Work), Entry = MoveTemp(Entry)]() mutable
	{
		FFinish Finish = Work(*Mine);
		// When the job ends, only Finish still holds handles of the library; they can be freed at any time.
		Work.Reset();
		AsyncTask(ENamedThreads::GameThread, [Self, Finish = MoveTemp(Finish)]() mutable
		{
			if (UOmniIDAsyncAction* Action = Self.Get())
			{
				Action->Tick(0.0f);
				Action->Stop();
				Finish();
				Action->SetReadyToDestroy();
			}
		});
		Entry = omniid_plugin::RunningJobs::Entry();
	});
}

void UOmniIDAsyncAction::Fail(const FOmniIDError& Error)
{
	UE_LOG(LogOmniID, Warning, TEXT("%s"), *Error.Message);
	OnFailed.Broadcast(Error);
	if (!bRunning)
	{
		SetReadyToDestroy();
	}
}

void UOmniIDAsyncAction::Cancel()
{
	if (Current != nullptr)
	{
		Current->cancel();
	}
}

bool UOmniIDAsyncAction::Tick(float)
{
	if (Current != nullptr)
	{
		const FOmniIDProgress Now = omniid_plugin::ToProgress(Current->progress());
		if (Now.Total > 0 && (Now.Stage != Shown.Stage || Now.Done != Shown.Done || Now.Total != Shown.Total))
		{
			Shown = Now;
			OnProgress.Broadcast(Now);
		}
	}
	return true;
}

void UOmniIDAsyncAction::Stop()
{
	bRunning = false;
	Current.reset();
	if (Ticker.IsValid())
	{
		FTSTicker::GetCoreTicker().RemoveTicker(Ticker);
		Ticker.Reset();
	}
}

void UOmniIDAsyncAction::BeginDestroy()
{
	Cancel();
	Stop();
	Super::BeginDestroy();
}
