#include "OmniIDConditioning.h"

#include "OmniIDConversions.h"

int32 UOmniIDConditioning::GetLayerCount() const
{
	if (Native == nullptr)
	{
		return 0;
	}
	const omniid::Result<std::size_t> Count = Native->layer_count();
	return Count ? static_cast<int32>(*Count) : 0;
}

int32 UOmniIDConditioning::FindLayer(const FString& LayerName) const
{
	if (Native == nullptr)
	{
		return -1;
	}
	const omniid::Result<std::size_t> Layer = Native->find_layer(omniid_plugin::ToUtf8(LayerName));
	return Layer ? static_cast<int32>(*Layer) : -1;
}
