#pragma once

#include "CoreMinimal.h"
#include "Kismet/BlueprintFunctionLibrary.h"
#include "OmniIDTypes.h"
#include "OmniIDPhotoLibrary.generated.h"

class UTextureRenderTarget2D;

/** Photos from files, folders and what the engine has drawn. */
UCLASS()
class OMNIID_API UOmniIDPhotoLibrary : public UBlueprintFunctionLibrary
{
	GENERATED_BODY()

public:
	/** A photo in a file. */
	UFUNCTION(BlueprintPure, Category = "OmniID")
	static FOmniIDPhoto OmniIDPhotoFromFile(const FString& File);

	/** All photos in a folder, by name. */
	UFUNCTION(BlueprintCallable, Category = "OmniID")
	static TArray<FOmniIDPhoto> OmniIDPhotosInFolder(const FString& Folder);

	/** What a scene capture or a widget has drawn, with 8 bits for each channel. False if it cannot be read. */
	UFUNCTION(BlueprintCallable, Category = "OmniID")
	static bool OmniIDPhotoFromRenderTarget(UTextureRenderTarget2D* RenderTarget, FOmniIDPhoto& Photo);
};
