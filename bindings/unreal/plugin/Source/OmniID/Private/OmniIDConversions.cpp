#include "OmniIDConversions.h"

#include "Misc/Paths.h"

#include <cstring>

namespace omniid_plugin
{
namespace
{
static_assert(sizeof(FColor) == 4, "pixels are copied as blue, green, red, alpha");
static_assert(static_cast<int32>(EOmniIDStatus::AbiMismatch) == OMNIID_STATUS_ABI_MISMATCH,
	"statuses are the library's numbers");
static_assert(static_cast<int32>(EOmniIDStage::Save) == OMNIID_STAGE_SAVE, "stages are the library's numbers");
static_assert(static_cast<int32>(EOmniIDPrecision::BF16) == OMNIID_PRECISION_BF16,
	"precisions are the library's numbers");
static_assert(static_cast<int32>(EOmniIDCrop::Aligned) == OMNIID_CROP_ALIGNED, "crops are the library's numbers");

EOmniIDStatus ToStatus(omniid::Status Status)
{
	const int32 Number = static_cast<int32>(Status);
	// Blueprint enums of one byte end at 254, the library's Internal is 255; a later library may have more numbers.
	const bool bKnown = Number >= 0 && Number <= OMNIID_STATUS_ABI_MISMATCH;
	return bKnown ? static_cast<EOmniIDStatus>(Number) : EOmniIDStatus::Internal;
}

std::string ToPath(const FString& Path)
{
	const bool bRelative = FPaths::IsRelative(Path);
	return ToUtf8(bRelative ? FPaths::ConvertRelativePathToFull(FPaths::ProjectContentDir(), Path) : Path);
}
} // namespace

FOmniIDError ToError(const omniid::Error& Error)
{
	FOmniIDError Result;
	Result.Status = ToStatus(Error.status());
	Result.Message = FromUtf8(Error.what());
	return Result;
}

FOmniIDProgress ToProgress(const JobProgress& Progress)
{
	FOmniIDProgress Result;
	Result.Stage = static_cast<EOmniIDStage>(Progress.stage);
	Result.Done = static_cast<int32>(Progress.done);
	Result.Total = static_cast<int32>(Progress.total);
	Result.Fraction = static_cast<float>(Progress.fraction());
	return Result;
}

FOmniIDPhotoReport ToReport(const omniid::PhotoReport& Report)
{
	FOmniIDPhotoReport Result;
	Result.Status = ToStatus(Report.status);
	Result.Name = FromUtf8(Report.name);
	Result.Reason = FromUtf8(Report.reason);
	Result.Rotation = Report.rotation;
	Result.bHasSimilarity = Report.similarity.has_value();
	Result.Similarity = Report.similarity.value_or(0.0f);
	return Result;
}

PhotoSource ToSource(const FOmniIDPhoto& Photo)
{
	PhotoSource Source;
	if (Photo.Pixels.Num() > 0)
	{
		Pixels Copy;
		Copy.bgra.resize(static_cast<std::size_t>(Photo.Pixels.Num()) * sizeof(FColor));
		std::memcpy(Copy.bgra.data(), Photo.Pixels.GetData(), Copy.bgra.size());
		// A negative size is refused by the library, like one that the pixels do not fill.
		Copy.width = Photo.Width < 0 ? 0 : static_cast<std::uint32_t>(Photo.Width);
		Copy.height = Photo.Height < 0 ? 0 : static_cast<std::uint32_t>(Photo.Height);
		Source.content = MoveTemp(Copy);
	}
	else if (Photo.Bytes.Num() > 0)
	{
		const std::byte* Begin = reinterpret_cast<const std::byte*>(Photo.Bytes.GetData());
		Source.content = std::vector<std::byte>(Begin, Begin + Photo.Bytes.Num());
	}
	else
	{
		Source.content = ToPath(Photo.File);
	}
	const FVector4& Box = Photo.FaceBox;
	if (Box.Z > Box.X && Box.W > Box.Y)
	{
		Source.face = omniid::FaceBox{static_cast<float>(Box.X), static_cast<float>(Box.Y), static_cast<float>(Box.Z),
			static_cast<float>(Box.W)};
	}
	else if (Photo.FaceIndex > 0)
	{
		Source.face = static_cast<std::uint32_t>(Photo.FaceIndex);
	}
	return Source;
}

omniid::EncodeOptions ToOptions(const FOmniIDEncodeSettings& Settings)
{
	omniid::EncodeOptions Options;
	Options.crop(static_cast<omniid::Crop>(Settings.Crop)).fail_on_bad_photo(Settings.bFailOnBadPhoto);
	if (Settings.BatchSize > 0)
	{
		Options.batch_size(static_cast<std::uint32_t>(Settings.BatchSize));
	}
	if (!Settings.Label.IsEmpty())
	{
		Options.label(ToUtf8(Settings.Label));
	}
	if (!Settings.Consent.IsEmpty())
	{
		Options.consent(ToUtf8(Settings.Consent));
	}
	return Options;
}

omniid::EngineOptions ToOptions(const FOmniIDModelSettings& Settings)
{
	omniid::EngineOptions Options(ToPath(Settings.Checkpoint));
	if (!Settings.ImageEncoder.IsEmpty())
	{
		Options.image_encoder(ToPath(Settings.ImageEncoder));
	}
	if (!Settings.Detector.IsEmpty())
	{
		Options.detector(ToPath(Settings.Detector));
	}
	if (!Settings.Host.IsEmpty())
	{
		Options.host(ToUtf8(Settings.Host));
	}
	Options.precision(static_cast<omniid::Precision>(Settings.Precision));
	return Options;
}
} // namespace omniid_plugin
