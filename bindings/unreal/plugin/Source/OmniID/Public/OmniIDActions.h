#pragma once

#include "CoreMinimal.h"
#include "OmniIDAsyncAction.h"
#include "OmniIDConditioning.h"
#include "OmniIDIdentity.h"
#include "OmniIDModel.h"
#include "OmniIDTypes.h"
#include "OmniIDActions.generated.h"

DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(FOmniIDOpened, UOmniIDModel*, Model);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(FOmniIDEncoded, UOmniIDIdentity*, Identity,
	const TArray<FOmniIDPhotoReport>&, Photos);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(FOmniIDConditioned, UOmniIDConditioning*, Conditioning);

/** Opens an identity model in the background. */
UCLASS()
class OMNIID_API UOmniIDOpenModel : public UOmniIDAsyncAction
{
	GENERATED_BODY()

public:
	/** The model is open. */
	UPROPERTY(BlueprintAssignable)
	FOmniIDOpened OnOpened;

	/** Opens an identity model in the background. */
	UFUNCTION(BlueprintCallable, Category = "OmniID",
		meta = (BlueprintInternalUseOnly = "true", WorldContext = "WorldContextObject"))
	static UOmniIDOpenModel* OpenOmniIDModel(UObject* WorldContextObject, const FOmniIDModelSettings& Settings);

	virtual void Activate() override;

private:
	FOmniIDModelSettings Chosen;
};

/** Encodes photos in the background. */
UCLASS()
class OMNIID_API UOmniIDEncodePhotos : public UOmniIDAsyncAction
{
	GENERATED_BODY()

public:
	/** The identity is ready. */
	UPROPERTY(BlueprintAssignable)
	FOmniIDEncoded OnEncoded;

	/** Makes one identity of one or many photos of the same person, in the background. */
	UFUNCTION(BlueprintCallable, Category = "OmniID",
		meta = (BlueprintInternalUseOnly = "true", WorldContext = "WorldContextObject"))
	static UOmniIDEncodePhotos* EncodeOmniIDPhotos(UObject* WorldContextObject, UOmniIDModel* Model,
		const TArray<FOmniIDPhoto>& Photos, const FOmniIDEncodeSettings& Settings);

	/** Makes a new identity of an identity and more photos, in the background, at the cost of the new ones. */
	UFUNCTION(BlueprintCallable, Category = "OmniID",
		meta = (BlueprintInternalUseOnly = "true", WorldContext = "WorldContextObject"))
	static UOmniIDEncodePhotos* ExtendOmniIDIdentity(UObject* WorldContextObject, UOmniIDModel* Model,
		UOmniIDIdentity* Identity, const TArray<FOmniIDPhoto>& Photos, const FOmniIDEncodeSettings& Settings);

	virtual void Activate() override;

private:
	UPROPERTY()
	TObjectPtr<UOmniIDModel> UsedModel;

	UPROPERTY()
	TObjectPtr<UOmniIDIdentity> Extended;

	TArray<FOmniIDPhoto> UsedPhotos;
	FOmniIDEncodeSettings Chosen;
	bool bExtends = false;
};

/** One person for Condition OmniID People. */
USTRUCT(BlueprintType)
struct OMNIID_API FOmniIDPerson
{
	GENERATED_BODY()

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "OmniID")
	TObjectPtr<UOmniIDIdentity> Identity = nullptr;

	/** How much; 0 leaves the person out. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "OmniID")
	float Scale = 1.0f;

	/** Share of sampling from which on the person is injected. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "OmniID", meta = (ClampMin = "0", ClampMax = "1"))
	float Start = 0.0f;

	/** Share of sampling until which the person is injected. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "OmniID", meta = (ClampMin = "0", ClampMax = "1"))
	float End = 1.0f;
};

/** Projects keys and values in the background. */
UCLASS()
class OMNIID_API UOmniIDConditionPeople : public UOmniIDAsyncAction
{
	GENERATED_BODY()

public:
	/** Keys and values are ready. */
	UPROPERTY(BlueprintAssignable)
	FOmniIDConditioned OnConditioned;

	/** Projects the keys and values of people for every attention layer of the model's host, in the background. */
	UFUNCTION(BlueprintCallable, Category = "OmniID",
		meta = (BlueprintInternalUseOnly = "true", WorldContext = "WorldContextObject"))
	static UOmniIDConditionPeople* ConditionOmniIDPeople(UObject* WorldContextObject, UOmniIDModel* Model,
		const TArray<FOmniIDPerson>& People, EOmniIDPrecision Precision);

	virtual void Activate() override;

private:
	UPROPERTY()
	TObjectPtr<UOmniIDModel> UsedModel;

	UPROPERTY()
	TArray<FOmniIDPerson> Everyone;

	EOmniIDPrecision KeptAs = EOmniIDPrecision::F32;
};
