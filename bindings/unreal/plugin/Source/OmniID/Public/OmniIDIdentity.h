#pragma once

#include "CoreMinimal.h"
#include "OmniIDNative.h"
#include "OmniIDTypes.h"
#include "UObject/Object.h"
#include "OmniIDIdentity.generated.h"

class UOmniIDModel;

/**
 * The identity of one person. Made by Encode OmniID Photos or read from a file; can be stored in a saved game or an
 * asset.
 */
UCLASS(BlueprintType)
class OMNIID_API UOmniIDIdentity : public UObject
{
	GENERATED_BODY()

public:
	/** Reads an .omniid file. Null if it fails; then Error says why. */
	UFUNCTION(BlueprintCallable, Category = "OmniID")
	static UOmniIDIdentity* LoadOmniIDIdentity(const FString& File, FOmniIDError& Error);

	/** Makes an identity of the bytes of an .omniid file. Null if it fails; then Error says why. */
	UFUNCTION(BlueprintCallable, Category = "OmniID")
	static UOmniIDIdentity* MakeOmniIDIdentity(const TArray<uint8>& Bytes, FOmniIDError& Error);

	/** Writes an .omniid file, which appears complete or not at all. */
	UFUNCTION(BlueprintCallable, Category = "OmniID")
	bool SaveToFile(const FString& File, FOmniIDError& Error) const;

	/** A name to show; may be empty. */
	UFUNCTION(BlueprintPure, Category = "OmniID")
	FString GetLabel() const;

	/** What the person agreed to; may be empty. */
	UFUNCTION(BlueprintPure, Category = "OmniID")
	FString GetConsent() const;

	/** Photos that went in. */
	UFUNCTION(BlueprintPure, Category = "OmniID")
	int32 GetPhotoCount() const;

	/** Whether photos can be added. */
	UFUNCTION(BlueprintPure, Category = "OmniID")
	bool CanBeExtended() const;

	/** Cosine similarity to another identity of the same model, -1 to 1. */
	UFUNCTION(BlueprintCallable, Category = "OmniID")
	bool CompareTo(const UOmniIDIdentity* Other, const UOmniIDModel* Model, float& Similarity,
		FOmniIDError& Error) const;

	virtual void PostLoad() override;
	virtual void PostDuplicate(bool bDuplicateForPIE) override;

	/** The native identity; null if there is none. */
	const omniid_plugin::IdentityPtr& GetNative() const
	{
		return Native;
	}

	/** Takes over an identity, and keeps its bytes for saved games and assets. */
	bool SetNative(omniid_plugin::IdentityPtr Made, FOmniIDError& Error);

private:
	void ReadData();

	/** The bytes of its .omniid file. */
	UPROPERTY()
	TArray<uint8> Data;

	omniid_plugin::IdentityPtr Native;
	omniid::IdentityInfo Info;
};
