#include "OmniIDPhotoLibrary.h"

#include "Engine/TextureRenderTarget2D.h"
#include "HAL/FileManager.h"
#include "Misc/Paths.h"
#include "TextureResource.h"

FOmniIDPhoto UOmniIDPhotoLibrary::OmniIDPhotoFromFile(const FString& File)
{
	FOmniIDPhoto Photo;
	Photo.File = File;
	return Photo;
}

TArray<FOmniIDPhoto> UOmniIDPhotoLibrary::OmniIDPhotosInFolder(const FString& Folder)
{
	const bool bRelative = FPaths::IsRelative(Folder);
	const FString Path = bRelative ? FPaths::ConvertRelativePathToFull(FPaths::ProjectContentDir(), Folder) : Folder;
	TArray<FString> Names;
	const TCHAR* const Patterns[] = {
		TEXT("*.jpg"), TEXT("*.jpeg"), TEXT("*.png"), TEXT("*.webp"), TEXT("*.bmp"), TEXT("*.tif"), TEXT("*.tiff")};
	for (const TCHAR* Pattern : Patterns)
	{
		TArray<FString> Found;
		IFileManager::Get().FindFiles(Found, *FPaths::Combine(Path, Pattern), true, false);
		Names.Append(Found);
	}
	Names.Sort();
	TArray<FOmniIDPhoto> Photos;
	for (const FString& Name : Names)
	{
		Photos.Add(OmniIDPhotoFromFile(FPaths::Combine(Path, Name)));
	}
	return Photos;
}

bool UOmniIDPhotoLibrary::OmniIDPhotoFromRenderTarget(UTextureRenderTarget2D* RenderTarget, FOmniIDPhoto& Photo)
{
	FTextureRenderTargetResource* Resource =
		RenderTarget != nullptr ? RenderTarget->GameThread_GetRenderTargetResource() : nullptr;
	Photo = FOmniIDPhoto();
	if (Resource == nullptr || !Resource->ReadPixels(Photo.Pixels))
	{
		return false;
	}
	Photo.Width = RenderTarget->SizeX;
	Photo.Height = RenderTarget->SizeY;
	return true;
}
