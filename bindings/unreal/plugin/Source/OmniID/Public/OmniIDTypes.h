#pragma once

#include "CoreMinimal.h"
#include "OmniIDTypes.generated.h"

/** Why a call failed. The numbers are those of omniid.h, except Internal, which also stands for unknown ones. */
UENUM(BlueprintType)
enum class EOmniIDStatus : uint8
{
	Ok = 0,
	InvalidArgument = 1,
	Io = 2,
	Format = 3,
	Unsupported = 4,
	Mismatch = 5,
	NoFace = 6,
	LimitExceeded = 7,
	Cancelled = 8,
	Device = 9,
	AbiMismatch = 10,
	Internal = 11 UMETA(ToolTip = "A defect in OmniID itself, or a status of a later library.")
};

/** What a long call is doing. */
UENUM(BlueprintType)
enum class EOmniIDStage : uint8
{
	Load = 0 UMETA(ToolTip = "Weights are being read; tensors."),
	Photos = 1 UMETA(ToolTip = "Photos are being decoded and cropped; photos."),
	Encode = 2 UMETA(ToolTip = "Photos pass the image encoder; photos."),
	Condition = 3 UMETA(ToolTip = "Keys and values are being projected; layers."),
	Save = 4 UMETA(ToolTip = "A file is being written; tensors.")
};

/** Number type of weights, keys and values. */
UENUM(BlueprintType)
enum class EOmniIDPrecision : uint8
{
	F32 = 0,
	F16 = 1,
	BF16 = 2,
	Int8 = 3
};

/** How photos are cropped. */
UENUM(BlueprintType)
enum class EOmniIDCrop : uint8
{
	Default = 0 UMETA(ToolTip = "As the model was trained."),
	None = 1,
	Center = 2,
	Face = 3 UMETA(ToolTip = "A square around the face; needs a detector."),
	Aligned = 4 UMETA(ToolTip = "The face on a template; needs a detector.")
};

/** Why a call failed, and what would be right. */
USTRUCT(BlueprintType)
struct OMNIID_API FOmniIDError
{
	GENERATED_BODY()

	UPROPERTY(BlueprintReadOnly, Category = "OmniID")
	EOmniIDStatus Status = EOmniIDStatus::Ok;

	UPROPERTY(BlueprintReadOnly, Category = "OmniID")
	FString Message;
};

/** Progress of a long call. */
USTRUCT(BlueprintType)
struct OMNIID_API FOmniIDProgress
{
	GENERATED_BODY()

	UPROPERTY(BlueprintReadOnly, Category = "OmniID")
	EOmniIDStage Stage = EOmniIDStage::Load;

	/** Finished units of this stage. */
	UPROPERTY(BlueprintReadOnly, Category = "OmniID")
	int32 Done = 0;

	/** All units of this stage. */
	UPROPERTY(BlueprintReadOnly, Category = "OmniID")
	int32 Total = 0;

	/** Share of this stage that is finished, 0 to 1. */
	UPROPERTY(BlueprintReadOnly, Category = "OmniID")
	float Fraction = 0.0f;
};

/** One photo of a person: a file, the bytes of a file, or pixels. */
USTRUCT(BlueprintType)
struct OMNIID_API FOmniIDPhoto
{
	GENERATED_BODY()

	/** Path of a JPEG, PNG, WebP, BMP or TIFF file. Used if there are neither bytes nor pixels. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "OmniID")
	FString File;

	/** The bytes of such a file. Used if there are no pixels. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "OmniID")
	TArray<uint8> Bytes;

	/** Pixels, rows from top to bottom. */
	UPROPERTY(BlueprintReadWrite, Category = "OmniID")
	TArray<FColor> Pixels;

	/** Width of the pixels. */
	UPROPERTY(BlueprintReadWrite, Category = "OmniID")
	int32 Width = 0;

	/** Height of the pixels. */
	UPROPERTY(BlueprintReadWrite, Category = "OmniID")
	int32 Height = 0;

	/** Which face is meant: 0 the largest, 1 the second largest, and so on. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "OmniID", meta = (ClampMin = "0"))
	int32 FaceIndex = 0;

	/** The face as left, top, right, bottom in pixels. Needs no detector. Used if its width and height are not 0. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "OmniID")
	FVector4 FaceBox = FVector4(0.0, 0.0, 0.0, 0.0);
};

/** What became of one photo. */
USTRUCT(BlueprintType)
struct OMNIID_API FOmniIDPhotoReport
{
	GENERATED_BODY()

	/** Ok if it went into the identity; otherwise why it was left out. */
	UPROPERTY(BlueprintReadOnly, Category = "OmniID")
	EOmniIDStatus Status = EOmniIDStatus::Ok;

	/** Its path, or a description. */
	UPROPERTY(BlueprintReadOnly, Category = "OmniID")
	FString Name;

	/** Why it was left out, or what should be known about its use. May be empty. */
	UPROPERTY(BlueprintReadOnly, Category = "OmniID")
	FString Reason;

	/** Degrees clockwise by which it had to be turned: 0, 90, 180 or 270. */
	UPROPERTY(BlueprintReadOnly, Category = "OmniID")
	int32 Rotation = 0;

	/** Whether Similarity is known. */
	UPROPERTY(BlueprintReadOnly, Category = "OmniID")
	bool bHasSimilarity = false;

	/** How alike it is to the others of its set, -1 to 1. */
	UPROPERTY(BlueprintReadOnly, Category = "OmniID")
	float Similarity = 0.0f;
};

/** What to open a model from. Relative paths are below the project's content folder. */
USTRUCT(BlueprintType)
struct OMNIID_API FOmniIDModelSettings
{
	GENERATED_BODY()

	/** The identity model: a native checkpoint, or a public IP-Adapter or XLabs file. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "OmniID")
	FString Checkpoint;

	/** The CLIP vision model that a public checkpoint needs. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "OmniID")
	FString ImageEncoder;

	/** Weights of the face detector; a native checkpoint may hold them. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "OmniID")
	FString Detector;

	/** sd15, sdxl or flux; empty: what the checkpoint is for. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "OmniID")
	FString Host;

	/** Number type of the weights. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "OmniID")
	EOmniIDPrecision Precision = EOmniIDPrecision::F32;
};

/** How photos become an identity. */
USTRUCT(BlueprintType)
struct OMNIID_API FOmniIDEncodeSettings
{
	GENERATED_BODY()

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "OmniID")
	EOmniIDCrop Crop = EOmniIDCrop::Default;

	/** Fail if a photo cannot be used, instead of leaving it out. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "OmniID")
	bool bFailOnBadPhoto = false;

	/** Photos that pass the image encoder together; 0 for the default. With 1, Cancel takes effect soonest. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "OmniID", meta = (ClampMin = "0"))
	int32 BatchSize = 0;

	/** A name to show, stored with the identity; empty: none, or the one that the identity has. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "OmniID")
	FString Label;

	/** What the person agreed to, stored with the identity; empty: none, or what the identity has. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "OmniID")
	FString Consent;
};
