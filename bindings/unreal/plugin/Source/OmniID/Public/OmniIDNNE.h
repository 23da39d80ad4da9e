/*
 * Identity inputs for NNE, Unreal's neural network engine (5.3 and later). Header only: a module that includes it has
 * "NNE" and "OmniID" among its dependencies; the plugin itself does without NNE.
 */
#pragma once

#include "CoreMinimal.h"
#include "NNERuntimeCPU.h"
#include "NNETypes.h"
#include "OmniIDGraphInputs.h"

namespace omniid_plugin
{

/** NNE's name of a number type. */
inline ENNETensorDataType ToNNE(omniid::Precision Precision)
{
	switch (Precision)
	{
	case omniid::Precision::f16: return ENNETensorDataType::Half;
	case omniid::Precision::bf16: return ENNETensorDataType::BFloat16;
	case omniid::Precision::f32:
	case omniid::Precision::int8: break; // No graph has int8.
	}
	return ENNETensorDataType::Float;
}

/**
 * Sets shape and binding of those inputs of a model that carry the identity; the model's other inputs are the caller's.
 *
 * Shapes and Bindings have one element for each of Descs, in their order: what GetInputTensorDescs() of a model instance
 * gives, SetInputTensorShapes() and RunSync() take. The bindings are valid until the next fill() of Identity.
 *
 * @return false, with the reason in Error and nothing set, when the model lacks an identity input of the graph, has it in
 * another number type, or the arrays have another length.
 */
inline bool BindIdentity(GraphInputs& Identity, TConstArrayView<UE::NNE::FTensorDesc> Descs,
	TArray<UE::NNE::FTensorShape>& Shapes, TArray<UE::NNE::FTensorBindingCPU>& Bindings, FString& Error)
{
	if (Shapes.Num() != Descs.Num() || Bindings.Num() != Descs.Num())
	{
		Error = TEXT("shapes and bindings must have one element for each input of the model");
		return false;
	}
	const auto Place = [&Descs](const FString& Name)
	{
		for (int32 Index = 0; Index < Descs.Num(); Index++)
		{
			if (Descs[Index].GetName() == Name)
			{
				return Index;
			}
		}
		return -1;
	};
	for (const GraphInput& Input : Identity.inputs())
	{
		const FString Name(UTF8_TO_TCHAR(Input.name.c_str()));
		const int32 Index = Place(Name);
		if (Index < 0)
		{
			Error = TEXT("the model has no identity input ") + Name;
			return false;
		}
		if (Descs[Index].GetDataType() != ToNNE(Input.shape.precision))
		{
			Error = TEXT("another number type in the model than in the manifest: ") + Name;
			return false;
		}
	}
	for (GraphInput& Input : Identity.inputs())
	{
		const int32 Index = Place(FString(UTF8_TO_TCHAR(Input.name.c_str())));
		TArray<uint32> Sizes;
		for (const std::int64_t Size : Input.shape.shape)
		{
			Sizes.Add(static_cast<uint32>(Size));
		}
		Shapes[Index] = UE::NNE::FTensorShape::Make(Sizes);
		Bindings[Index].Data = Input.memory.data();
		Bindings[Index].SizeInBytes = Input.memory.size();
	}
	return true;
}

} // namespace omniid_plugin
