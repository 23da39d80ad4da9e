/*
 * A HAND-WRITTEN STAND-IN for the parts of Unreal's NNE that OmniIDNNE.h uses, by the names and signatures that Epic's
 * documentation of 5.3 to 5.5 gives. It holds what it is given and runs nothing.
 */
#pragma once

#include "UnrealStandIn.h"

template <class T>
class TConstArrayView
{
public:
	TConstArrayView(const TArray<T>& Array) : Items(Array.GetData()), Count(Array.Num()) {}
	int32 Num() const { return Count; }
	const T& operator[](int32 Index) const { return Items[Index]; }
	const T* begin() const { return Items; }
	const T* end() const { return Items + Count; }

private:
	const T* Items;
	int32 Count;
};

enum class ENNETensorDataType : uint8 { None, Half, Float, BFloat16 };

namespace UE::NNE
{
class FTensorDesc
{
public:
	FTensorDesc(const FString& InName, ENNETensorDataType InType) : Name(InName), Type(InType) {}
	const FString& GetName() const { return Name; }
	ENNETensorDataType GetDataType() const { return Type; }

private:
	FString Name;
	ENNETensorDataType Type;
};

class FTensorShape
{
public:
	static FTensorShape Make(TConstArrayView<uint32> Sizes)
	{
		FTensorShape Shape;
		Shape.Sizes.assign(Sizes.begin(), Sizes.end());
		return Shape;
	}
	std::vector<uint32> Sizes;
};

struct FTensorBindingCPU
{
	void* Data = nullptr;
	std::uint64_t SizeInBytes = 0;
};
} // namespace UE::NNE
