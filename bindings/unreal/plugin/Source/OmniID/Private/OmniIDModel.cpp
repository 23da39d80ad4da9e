#include "OmniIDModel.h"

#include "OmniIDConversions.h"

void UOmniIDModel::SetNative(omniid_plugin::EnginePtr Opened)
{
	Native = MoveTemp(Opened);
	Info = {};
	if (Native != nullptr)
	{
		// Its texts live as long as the engine.
		if (const omniid::Result<omniid::EngineInfo> Described = Native->describe())
		{
			Info = *Described;
		}
	}
}

FString UOmniIDModel::GetModelName() const
{
	return omniid_plugin::FromUtf8(Info.name);
}

FString UOmniIDModel::GetFingerprint() const
{
	return omniid_plugin::FromUtf8(Info.fingerprint);
}

bool UOmniIDModel::HasAdapter() const
{
	return Info.has_adapter;
}

bool UOmniIDModel::HasDetector() const
{
	return Info.has_detector;
}

int32 UOmniIDModel::GetHostLayerCount() const
{
	return static_cast<int32>(Info.host_layer_count);
}
