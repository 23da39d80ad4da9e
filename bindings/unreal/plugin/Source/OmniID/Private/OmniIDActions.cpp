#include "OmniIDActions.h"

#include "OmniIDConversions.h"

#include <utility>

namespace
{
/** The result of a call for the game thread. */
template <class T>
using TShared = std::shared_ptr<omniid::Result<T>>;

template <class T>
TShared<T> Share(omniid::Result<T> Result)
{
	return std::make_shared<omniid::Result<T>>(std::move(Result));
}
} // namespace

UOmniIDOpenModel* UOmniIDOpenModel::OpenOmniIDModel(UObject* WorldContextObject, const FOmniIDModelSettings& Settings)
{
	UOmniIDOpenModel* Action = NewObject<UOmniIDOpenModel>();
	Action->Chosen = Settings;
	Action->RegisterWithGameInstance(WorldContextObject);
	return Action;
}

void UOmniIDOpenModel::Activate()
{
	Run([this, Options = omniid_plugin::ToOptions(Chosen)](omniid_plugin::Job& Job) -> FFinish
	{
		TShared<omniid_plugin::EnginePtr> Opened = Share(omniid_plugin::open_engine(Options, Job));
		return [this, Opened]()
		{
			if (!*Opened)
			{
				Fail(omniid_plugin::ToError(Opened->error()));
				return;
			}
			UOmniIDModel* Model = NewObject<UOmniIDModel>();
			Model->SetNative(Opened->value());
			OnOpened.Broadcast(Model);
		};
	});
}

UOmniIDEncodePhotos* UOmniIDEncodePhotos::EncodeOmniIDPhotos(UObject* WorldContextObject, UOmniIDModel* Model,
	const TArray<FOmniIDPhoto>& Photos, const FOmniIDEncodeSettings& Settings)
{
	UOmniIDEncodePhotos* Action = NewObject<UOmniIDEncodePhotos>();
	Action->UsedModel = Model;
	Action->UsedPhotos = Photos;
	Action->Chosen = Settings;
	Action->RegisterWithGameInstance(WorldContextObject);
	return Action;
}

UOmniIDEncodePhotos* UOmniIDEncodePhotos::ExtendOmniIDIdentity(UObject* WorldContextObject, UOmniIDModel* Model,
	UOmniIDIdentity* Identity, const TArray<FOmniIDPhoto>& Photos, const FOmniIDEncodeSettings& Settings)
{
	UOmniIDEncodePhotos* Action = EncodeOmniIDPhotos(WorldContextObject, Model, Photos, Settings);
	Action->Extended = Identity;
	Action->bExtends = true;
	return Action;
}

void UOmniIDEncodePhotos::Activate()
{
	omniid_plugin::EnginePtr Engine = UsedModel != nullptr ? UsedModel->GetNative() : nullptr;
	omniid_plugin::IdentityPtr Before = Extended != nullptr ? Extended->GetNative() : nullptr;
	if (Engine == nullptr || (bExtends && Before == nullptr))
	{
		FOmniIDError Error;
		Error.Status = EOmniIDStatus::InvalidArgument;
		Error.Message =
			Engine == nullptr ? TEXT("there is no model; open one first") : TEXT("there is no identity to extend");
		Fail(Error);
		return;
	}
	std::vector<omniid_plugin::PhotoSource> Sources;
	for (const FOmniIDPhoto& Photo : UsedPhotos)
	{
		Sources.push_back(omniid_plugin::ToSource(Photo));
	}
	Run([this, Engine, Before, Sources = std::move(Sources),
		Options = omniid_plugin::ToOptions(Chosen)](omniid_plugin::Job& Job) -> FFinish
	{
		TShared<omniid_plugin::EncodedPhotos> Encoded =
			Share(omniid_plugin::encode(Engine, Before, Sources, Options, Job));
		return [this, Encoded]()
		{
			FOmniIDError Error;
			UOmniIDIdentity* Identity = nullptr;
			if (!*Encoded)
			{
				Error = omniid_plugin::ToError(Encoded->error());
			}
			else
			{
				Identity = NewObject<UOmniIDIdentity>();
				Identity = Identity->SetNative((*Encoded)->identity, Error) ? Identity : nullptr;
			}
			if (Identity == nullptr)
			{
				Fail(Error);
				return;
			}
			TArray<FOmniIDPhotoReport> Reports;
			for (const omniid::PhotoReport& Report : (*Encoded)->photos)
			{
				Reports.Add(omniid_plugin::ToReport(Report));
			}
			OnEncoded.Broadcast(Identity, Reports);
		};
	});
}

UOmniIDConditionPeople* UOmniIDConditionPeople::ConditionOmniIDPeople(UObject* WorldContextObject, UOmniIDModel* Model,
	const TArray<FOmniIDPerson>& People, EOmniIDPrecision Precision)
{
	UOmniIDConditionPeople* Action = NewObject<UOmniIDConditionPeople>();
	Action->UsedModel = Model;
	Action->Everyone = People;
	Action->KeptAs = Precision;
	Action->RegisterWithGameInstance(WorldContextObject);
	return Action;
}

void UOmniIDConditionPeople::Activate()
{
	omniid_plugin::EnginePtr Engine = UsedModel != nullptr ? UsedModel->GetNative() : nullptr;
	std::vector<omniid_plugin::PersonToInject> Inputs;
	for (const FOmniIDPerson& Person : Everyone)
	{
		omniid_plugin::IdentityPtr Identity = Person.Identity != nullptr ? Person.Identity->GetNative() : nullptr;
		Inputs.push_back({Identity, Person.Scale, {Person.Start, Person.End}});
	}
	omniid::ConditioningOptions Options;
	Options.precision(static_cast<omniid::Precision>(KeptAs));
	Run([this, Engine, Inputs = std::move(Inputs), Options](omniid_plugin::Job& Job) -> FFinish
	{
		TShared<omniid_plugin::ConditioningPtr> Made = Share(omniid_plugin::condition(Engine, Inputs, Options, Job));
		return [this, Made]()
		{
			if (!*Made)
			{
				Fail(omniid_plugin::ToError(Made->error()));
				return;
			}
			UOmniIDConditioning* Conditioning = NewObject<UOmniIDConditioning>();
			Conditioning->SetNative(Made->value());
			OnConditioned.Broadcast(Conditioning);
		};
	});
}
