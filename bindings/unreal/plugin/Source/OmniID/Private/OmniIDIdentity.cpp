#include "OmniIDIdentity.h"

#include "OmniIDConversions.h"
#include "OmniIDModel.h"
#include "OmniIDModule.h"

#include <cstring>

namespace
{
omniid::span<const std::byte> BytesOf(const TArray<uint8>& Bytes)
{
	return {reinterpret_cast<const std::byte*>(Bytes.GetData()), static_cast<std::size_t>(Bytes.Num())};
}

UOmniIDIdentity* NewIdentity(omniid::Result<omniid::Identity> Result, FOmniIDError& Error)
{
	if (!Result)
	{
		Error = omniid_plugin::ToError(Result.error());
		return nullptr;
	}
	UOmniIDIdentity* Identity = NewObject<UOmniIDIdentity>();
	const bool bSet = Identity->SetNative(std::make_shared<omniid::Identity>(std::move(Result).value()), Error);
	return bSet ? Identity : nullptr;
}

FOmniIDError Missing(const TCHAR* Message)
{
	FOmniIDError Error;
	Error.Status = EOmniIDStatus::InvalidArgument;
	Error.Message = Message;
	return Error;
}
} // namespace

UOmniIDIdentity* UOmniIDIdentity::LoadOmniIDIdentity(const FString& File, FOmniIDError& Error)
{
	Error = {};
	return NewIdentity(omniid::Identity::load(omniid_plugin::ToUtf8(File)), Error);
}

UOmniIDIdentity* UOmniIDIdentity::MakeOmniIDIdentity(const TArray<uint8>& Bytes, FOmniIDError& Error)
{
	Error = {};
	return NewIdentity(omniid::Identity::from_bytes(BytesOf(Bytes)), Error);
}

bool UOmniIDIdentity::SetNative(omniid_plugin::IdentityPtr Made, FOmniIDError& Error)
{
	Error = {};
	const omniid::Result<std::vector<std::byte>> Bytes = Made->to_bytes();
	const omniid::Result<omniid::IdentityInfo> Described = Made->describe();
	if (!Bytes || !Described)
	{
		Error = omniid_plugin::ToError(Bytes ? Described.error() : Bytes.error());
		return false;
	}
	Data.SetNumUninitialized(static_cast<int32>(Bytes->size()));
	std::memcpy(Data.GetData(), Bytes->data(), Bytes->size());
	Native = MoveTemp(Made);
	// Its texts live as long as the identity.
	Info = *Described;
	return true;
}

bool UOmniIDIdentity::SaveToFile(const FString& File, FOmniIDError& Error) const
{
	Error = {};
	if (Native == nullptr)
	{
		Error = Missing(TEXT("this identity is empty"));
		return false;
	}
	const omniid::Result<void> Saved = Native->save(omniid_plugin::ToUtf8(File));
	if (!Saved)
	{
		Error = omniid_plugin::ToError(Saved.error());
	}
	return Saved.has_value();
}

FString UOmniIDIdentity::GetLabel() const
{
	return omniid_plugin::FromUtf8(Info.label);
}

FString UOmniIDIdentity::GetConsent() const
{
	return omniid_plugin::FromUtf8(Info.consent);
}

int32 UOmniIDIdentity::GetPhotoCount() const
{
	return static_cast<int32>(Info.photos);
}

bool UOmniIDIdentity::CanBeExtended() const
{
	return Native != nullptr && (Info.encoder != omniid::EncoderKind::omni_id || Info.features > 0);
}

bool UOmniIDIdentity::CompareTo(const UOmniIDIdentity* Other, const UOmniIDModel* Model, float& Similarity,
	FOmniIDError& Error) const
{
	Error = {};
	Similarity = 0.0f;
	const bool bIdentities = Native != nullptr && Other != nullptr && Other->Native != nullptr;
	if (!bIdentities || Model == nullptr || Model->GetNative() == nullptr)
	{
		Error = Missing(TEXT("a comparison needs two identities and the model that made them"));
		return false;
	}
	const omniid::Result<float> Found = Model->GetNative()->similarity(*Native, *Other->Native);
	if (!Found)
	{
		Error = omniid_plugin::ToError(Found.error());
		return false;
	}
	Similarity = *Found;
	return true;
}

void UOmniIDIdentity::PostLoad()
{
	Super::PostLoad();
	ReadData();
}

void UOmniIDIdentity::PostDuplicate(bool bDuplicateForPIE)
{
	Super::PostDuplicate(bDuplicateForPIE);
	ReadData();
}

void UOmniIDIdentity::ReadData()
{
	if (Data.Num() == 0 || !FOmniIDModule::IsLoaded())
	{
		return;
	}
	omniid::Result<omniid::Identity> Read = omniid::Identity::from_bytes(BytesOf(Data));
	FOmniIDError Error;
	if (!Read)
	{
		Error = omniid_plugin::ToError(Read.error());
	}
	if (!Read || !SetNative(std::make_shared<omniid::Identity>(std::move(Read).value()), Error))
	{
		UE_LOG(LogOmniID, Error, TEXT("%s: %s"), *GetName(), *Error.Message);
	}
}
