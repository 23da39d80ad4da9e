/* The plugin's objects and nodes, on the stand-in of Unreal, with the real library. */
#include "Core/Calls.h"
#include "OmniIDActions.h"
#include "OmniIDModule.h"
#include "OmniIDNNE.h"
#include "OmniIDPhotoLibrary.h"
#include "OmniIDRunningJobs.h"
#include "Engine/TextureRenderTarget2D.h"

#include <chrono>
#include <fstream>
#include <iterator>

#define EXPECT(condition)                                                        \
	do {                                                                         \
		if (!(condition)) {                                                      \
			std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			std::exit(1);                                                        \
		}                                                                        \
	} while (0)

namespace
{
UOmniIDModel* Model = nullptr;

FString Str(const std::string& Text)
{
	return FString(UTF8_TO_TCHAR(Text.c_str()));
}

std::string Utf8(const FString& Text)
{
	return TCHAR_TO_UTF8(*Text);
}

/** What a node has said. */
struct FHeard
{
	std::vector<FOmniIDProgress> Progress;
	std::vector<FOmniIDError> Errors;
	bool bElsewhere = false;

	void Listen(UOmniIDAsyncAction* Action)
	{
		Action->OnProgress.Listeners.push_back([this](FOmniIDProgress Now) { Progress.push_back(Now); Where(); });
		Action->OnFailed.Listeners.push_back([this](FOmniIDError Error) { Errors.push_back(Error); Where(); });
	}

	void Where()
	{
		bElsewhere |= std::this_thread::get_id() != stand_in::State().GameThreadId;
	}
};

/** Frames until the node has ended. */
void Play(UOmniIDAsyncAction* Action)
{
	Action->Activate();
	while (!Action->bReadyToDestroy)
	{
		stand_in::Frame();
		std::this_thread::yield();
	}
	EXPECT(!Action->IsRunning() && FTSTicker::GetCoreTicker().Count() == 0);
	stand_in::JoinThreads();
}

FOmniIDPhoto Picture(unsigned Number)
{
	FOmniIDPhoto Photo;
	Photo.Width = 64;
	Photo.Height = 48;
	for (unsigned i = 0; i < 64 * 48; i++)
	{
		FColor Color;
		Color.R = static_cast<uint8>(i * (Number + 3) / 16);
		Color.G = static_cast<uint8>(i / 12 + Number);
		Color.B = static_cast<uint8>(i % 64 * 4);
		Photo.Pixels.Add(Color);
	}
	return Photo;
}

TArray<FOmniIDPhoto> Pictures(unsigned Count)
{
	TArray<FOmniIDPhoto> Photos;
	for (unsigned i = 0; i < Count; i++)
	{
		Photos.Add(Picture(i));
	}
	return Photos;
}

std::vector<float> Tokens(const UOmniIDIdentity* Identity)
{
	const auto Tensor = Identity->GetNative()->tokens();
	const auto Floats = Tensor->floats();
	return {Floats.begin(), Floats.end()};
}

UOmniIDIdentity* Encoded(UOmniIDEncodePhotos* Action, FHeard& Heard, TArray<FOmniIDPhotoReport>* Reports = nullptr)
{
	UOmniIDIdentity* Identity = nullptr;
	Heard.Listen(Action);
	Action->OnEncoded.Listeners.push_back([&](UOmniIDIdentity* Made, const TArray<FOmniIDPhotoReport>& Photos)
	{
		Identity = Made;
		Heard.Where();
		if (Reports != nullptr)
		{
			*Reports = Photos;
		}
	});
	Play(Action);
	delete Action;
	EXPECT(!Heard.bElsewhere);
	return Identity;
}

void ModelOpens()
{
	FOmniIDModelSettings Settings;
	Settings.Checkpoint = TEXT("model.safetensors"); // below the content folder
	UObject World;
	UOmniIDOpenModel* Action = UOmniIDOpenModel::OpenOmniIDModel(&World, Settings);
	EXPECT(Action->Context == &World);
	FHeard Heard;
	Heard.Listen(Action);
	Action->OnOpened.Listeners.push_back([&](UOmniIDModel* Opened) { Model = Opened; });
	Play(Action);
	delete Action;
	EXPECT(Model != nullptr && Heard.Errors.empty() && !Heard.bElsewhere);
	EXPECT(!Heard.Progress.empty() && Heard.Progress.back().Fraction == 1.0f
		&& Heard.Progress.back().Stage == EOmniIDStage::Load);
	EXPECT(Utf8(Model->GetModelName()) == "untrained" && !Model->GetFingerprint().IsEmpty());
	EXPECT(Model->HasAdapter() && Model->HasDetector() && Model->GetHostLayerCount() == 2);
	UOmniIDModel Empty;
	EXPECT(!Empty.HasAdapter() && Empty.GetHostLayerCount() == 0 && Empty.GetModelName().IsEmpty());
}

void ModelThatIsNotThere()
{
	FOmniIDModelSettings Settings;
	Settings.Checkpoint = TEXT("nowhere.safetensors");
	UOmniIDOpenModel* Action = UOmniIDOpenModel::OpenOmniIDModel(nullptr, Settings);
	FHeard Heard;
	Heard.Listen(Action);
	Action->OnOpened.Listeners.push_back([](UOmniIDModel*) { EXPECT(false); });
	Play(Action);
	delete Action;
	EXPECT(Heard.Errors.size() == 1 && Heard.Errors[0].Status == EOmniIDStatus::Io);
	EXPECT(Utf8(Heard.Errors[0].Message).find("nowhere.safetensors") != std::string::npos);
	EXPECT(!stand_in::State().Log.empty() && stand_in::State().Log.back().find("LogOmniID Warning: ") == 0);
}

void PhotosAreEncoded(const std::string& PhotoFile)
{
	std::ifstream File(PhotoFile, std::ios::binary);
	FOmniIDPhoto Bytes;
	for (auto Byte = std::istreambuf_iterator<char>(File); Byte != std::istreambuf_iterator<char>(); ++Byte)
	{
		Bytes.Bytes.Add(static_cast<uint8>(*Byte));
	}
	UTextureRenderTarget2D Target;
	const FOmniIDPhoto Drawn = Picture(1);
	Target.SizeX = Drawn.Width;
	Target.SizeY = Drawn.Height;
	Target.Resource.Colors = Drawn.Pixels;
	FOmniIDPhoto Captured;
	EXPECT(UOmniIDPhotoLibrary::OmniIDPhotoFromRenderTarget(&Target, Captured));
	TArray<FOmniIDPhoto> Photos;
	Photos.Add(UOmniIDPhotoLibrary::OmniIDPhotoFromFile(Str(PhotoFile)));
	Photos.Add(Bytes);
	Photos.Add(Captured);
	FOmniIDEncodeSettings Settings;
	Settings.Label = TEXT("\u00c4nna \U0001F600");
	Settings.Consent = TEXT("portraits");
	FHeard Heard;
	TArray<FOmniIDPhotoReport> Reports;
	UOmniIDIdentity* Identity =
		Encoded(UOmniIDEncodePhotos::EncodeOmniIDPhotos(nullptr, Model, Photos, Settings), Heard, &Reports);
	EXPECT(Identity != nullptr && Heard.Errors.empty());
	EXPECT(Identity->GetPhotoCount() == 3 && Identity->CanBeExtended());
	EXPECT(Identity->GetLabel() == Settings.Label && Identity->GetConsent() == Settings.Consent);
	EXPECT(Reports.Num() == 3 && Reports[0].Status == EOmniIDStatus::Ok && Utf8(Reports[0].Name) == PhotoFile);
	std::vector<std::uint8_t> Rgb;
	for (const FColor& Color : Drawn.Pixels)
	{
		Rgb.insert(Rgb.end(), {Color.R, Color.G, Color.B});
	}
	const auto Direct = Model->GetNative()->encode({omniid::Photo::file(PhotoFile), omniid::Photo::file(PhotoFile),
		*omniid::Photo::pixels(omniid::span<const std::uint8_t>(Rgb), 64, 48)});
	const auto Tensor = Direct->identity.tokens();
	EXPECT(Tokens(Identity) == std::vector<float>(Tensor->floats().begin(), Tensor->floats().end()));
	Target.Resource.bReadable = false;
	EXPECT(!UOmniIDPhotoLibrary::OmniIDPhotoFromRenderTarget(&Target, Captured));
	EXPECT(!UOmniIDPhotoLibrary::OmniIDPhotoFromRenderTarget(nullptr, Captured));
	delete Identity;
}

void PhotosOfAFolder(const std::string& PhotoFile)
{
	const std::string Folder = PhotoFile.substr(0, PhotoFile.rfind('/'));
	const TArray<FOmniIDPhoto> Photos = UOmniIDPhotoLibrary::OmniIDPhotosInFolder(Str(Folder));
	EXPECT(Photos.Num() >= 2 && Utf8(Photos[0].File) == PhotoFile);
	for (int32 i = 1; i < Photos.Num(); i++)
	{
		EXPECT(Photos[i - 1].File < Photos[i].File);
	}
	EXPECT(UOmniIDPhotoLibrary::OmniIDPhotosInFolder(TEXT("/nowhere")).Num() == 0);
}

void ProgressIsShown()
{
	FOmniIDEncodeSettings Settings;
	Settings.BatchSize = 1;
	FHeard Heard;
	UOmniIDIdentity* Identity =
		Encoded(UOmniIDEncodePhotos::EncodeOmniIDPhotos(nullptr, Model, Pictures(40), Settings), Heard);
	EXPECT(Identity != nullptr && Heard.Progress.size() >= 2);
	// Decoding and encoding take turns; each only grows.
	int32 Done[5] = {};
	for (const FOmniIDProgress& Now : Heard.Progress)
	{
		int32& Before = Done[static_cast<int32>(Now.Stage)];
		EXPECT(Now.Done >= Before && Now.Done <= Now.Total && Now.Total == 40
			&& Now.Fraction == static_cast<float>(Now.Done) / 40.0f);
		Before = Now.Done;
	}
	EXPECT(Heard.Progress.back().Done == 40);
	delete Identity;
}

void CancelIsHeard()
{
	FOmniIDEncodeSettings Settings;
	Settings.BatchSize = 1;
	UOmniIDEncodePhotos* Action = UOmniIDEncodePhotos::EncodeOmniIDPhotos(nullptr, Model, Pictures(200), Settings);
	Action->Cancel(); // before it runs: nothing to stop
	Action->OnProgress.Listeners.push_back([Action](FOmniIDProgress) { Action->Cancel(); });
	FHeard Heard;
	EXPECT(Encoded(Action, Heard) == nullptr);
	EXPECT(Heard.Errors.size() == 1 && Heard.Errors[0].Status == EOmniIDStatus::Cancelled);
}

void CollectedNodeIsCancelled()
{
	UOmniIDEncodePhotos* Action =
		UOmniIDEncodePhotos::EncodeOmniIDPhotos(nullptr, Model, Pictures(200), FOmniIDEncodeSettings());
	Action->OnEncoded.Listeners.push_back([](UOmniIDIdentity*, const TArray<FOmniIDPhotoReport>&) { EXPECT(false); });
	Action->OnFailed.Listeners.push_back([](FOmniIDError) { EXPECT(false); });
	Action->Activate();
	EXPECT(Action->IsRunning() && OmniIDRunningJobs().count() == 1);
	Collect(Action);
	EXPECT(FTSTicker::GetCoreTicker().Count() == 0);
	stand_in::JoinThreads();
	EXPECT(OmniIDRunningJobs().count() == 0);
	stand_in::Frame();
}

void IdentitiesAreKept(const std::string& Folder)
{
	FHeard Heard;
	UOmniIDIdentity* First =
		Encoded(UOmniIDEncodePhotos::EncodeOmniIDPhotos(nullptr, Model, Pictures(1), FOmniIDEncodeSettings()), Heard);
	FOmniIDError Error;
	const FString File = Str(Folder + "/person.omniid");
	EXPECT(First->SaveToFile(File, Error) && Error.Status == EOmniIDStatus::Ok);
	UOmniIDIdentity* Loaded = UOmniIDIdentity::LoadOmniIDIdentity(File, Error);
	EXPECT(Loaded != nullptr && Tokens(Loaded) == Tokens(First));
	TArray<FOmniIDPhoto> More;
	More.Add(Picture(5));
	const FOmniIDEncodeSettings Defaults;
	UOmniIDIdentity* Longer =
		Encoded(UOmniIDEncodePhotos::ExtendOmniIDIdentity(nullptr, Model, Loaded, More, Defaults), Heard);
	EXPECT(Longer != nullptr && Longer->GetPhotoCount() == 2 && Heard.Errors.empty());
	float Same = 0.0f, Other = 0.0f;
	EXPECT(First->CompareTo(Loaded, Model, Same, Error) && std::abs(Same - 1.0f) <= 1e-6f);
	EXPECT(First->CompareTo(Longer, Model, Other, Error) && Other < 1.0f
		&& Other == *Model->GetNative()->similarity(*First->GetNative(), *Longer->GetNative()));
	EXPECT(!First->CompareTo(nullptr, Model, Other, Error) && Error.Status == EOmniIDStatus::InvalidArgument);
	// What the engine does when it duplicates an asset or reads one: properties first, then the object is told.
	UOmniIDIdentity* Copy = new UOmniIDIdentity(*First);
	const omniid::Identity* Before = Copy->GetNative().get();
	Copy->PostDuplicate(false);
	EXPECT(Copy->GetNative().get() != Before && Tokens(Copy) == Tokens(First));
	Before = Copy->GetNative().get();
	Copy->PostLoad();
	EXPECT(Copy->GetNative().get() != Before && Tokens(Copy) == Tokens(First));
	TArray<uint8> Bytes;
	Bytes.Add(1);
	EXPECT(UOmniIDIdentity::MakeOmniIDIdentity(Bytes, Error) == nullptr && Error.Status == EOmniIDStatus::Format);
	EXPECT(UOmniIDIdentity::LoadOmniIDIdentity(TEXT("/nowhere.omniid"), Error) == nullptr
		&& Error.Status == EOmniIDStatus::Io);
	UOmniIDIdentity Empty;
	Empty.PostLoad();
	EXPECT(!Empty.SaveToFile(File, Error) && Empty.GetPhotoCount() == 0 && !Empty.CanBeExtended());
	for (UOmniIDIdentity* Each : {First, Loaded, Longer, Copy})
	{
		delete Each;
	}
}

void PeopleAreConditioned()
{
	FHeard Heard;
	UOmniIDIdentity* Anna =
		Encoded(UOmniIDEncodePhotos::EncodeOmniIDPhotos(nullptr, Model, Pictures(2), FOmniIDEncodeSettings()), Heard);
	TArray<FOmniIDPerson> People;
	FOmniIDPerson Person;
	Person.Identity = Anna;
	Person.Scale = 0.8f;
	Person.Start = 0.25f;
	People.Add(Person);
	UOmniIDConditionPeople* Action =
		UOmniIDConditionPeople::ConditionOmniIDPeople(nullptr, Model, People, EOmniIDPrecision::F32);
	Heard.Listen(Action);
	UOmniIDConditioning* Conditioning = nullptr;
	Action->OnConditioned.Listeners.push_back([&](UOmniIDConditioning* Made) { Conditioning = Made; });
	Play(Action);
	delete Action;
	EXPECT(Conditioning != nullptr && Heard.Errors.empty());
	EXPECT(Conditioning->GetLayerCount() == 2 && Conditioning->FindLayer(TEXT("up.attn")) == 1
		&& Conditioning->FindLayer(TEXT("x")) == -1);
	EXPECT(*Conditioning->GetNative()->factor(0, 0) == 0.8f);
	EXPECT(!*Conditioning->GetNative()->is_active(0, {}, 0.1) && *Conditioning->GetNative()->is_active(0, {}, 0.3));
	delete Anna; // neither is needed any more
	std::vector<float> Query(2 * 4 * 16, 0.5f), Output(Query.size(), 0.0f);
	omniid::InjectCall Call(0, omniid::TensorView(Query.data(), {2, 4, 16}),
		omniid::TensorView(Output.data(), {2, 4, 16}));
	Call.fraction = 0.5;
	EXPECT(Conditioning->GetNative()->inject(Call).has_value() && Output[0] != 0.0f);
	delete Conditioning;
	UOmniIDConditioning Empty;
	EXPECT(Empty.GetLayerCount() == 0 && Empty.FindLayer(TEXT("up.attn")) == -1);
	Person.Identity = nullptr;
	TArray<FOmniIDPerson> Nobody;
	Nobody.Add(Person);
	Action = UOmniIDConditionPeople::ConditionOmniIDPeople(nullptr, Model, Nobody, EOmniIDPrecision::F32);
	FHeard Wrong;
	Wrong.Listen(Action);
	Play(Action);
	delete Action;
	EXPECT(Wrong.Errors.size() == 1 && Wrong.Errors[0].Status == EOmniIDStatus::InvalidArgument);
}

void GraphsAreBound()
{
	FHeard Heard;
	UOmniIDIdentity* Anna =
		Encoded(UOmniIDEncodePhotos::EncodeOmniIDPhotos(nullptr, Model, Pictures(2), FOmniIDEncodeSettings()), Heard);
	const std::vector<omniid::ConditioningInput> People = {omniid::ConditioningInput(*Anna->GetNative(), 0.8f)};
	const omniid::Conditioning Conditioning = Model->GetNative()->condition(People).value();
	delete Anna;
	omniid_plugin::GraphInputs Inputs(omniid::Graph::parse(R"({"format": "omniid-graph", "version": 1,
		"graph": "a.onnx", "host": "custom", "form": "keys_values", "precision": "f16", "scale": "ip_scale", "layers": [
		{"name": "up.attn", "heads": 4, "head_dim": 8, "key": "k.up", "value": "v.up"},
		{"name": "down.attn", "heads": 2, "head_dim": 8, "key": "k.down", "value": "v.down"}]})").value());
	const omniid::Role Roles[] = {omniid::Role::unconditional, omniid::Role::conditional};
	omniid::GraphCall Call;
	Call.roles = Roles;
	Call.scale = 0.5f;
	EXPECT(Inputs.fill(Conditioning, Call).has_value() && Inputs.inputs().size() == 5);
	// The model has inputs of its own before, between and behind.
	using ENNETensorDataType::Float;
	using ENNETensorDataType::Half;
	TArray<UE::NNE::FTensorDesc> Descs;
	for (const char* Name : {"sample", "v.down", "k.up", "v.up", "time", "k.down"})
	{
		Descs.Add({Str(Name), Half});
	}
	Descs.Add({TEXT("ip_scale"), Float});
	TArray<UE::NNE::FTensorShape> Shapes;
	TArray<UE::NNE::FTensorBindingCPU> Bindings;
	FString Error;
	EXPECT(!omniid_plugin::BindIdentity(Inputs, Descs, Shapes, Bindings, Error) && !Error.IsEmpty());
	for (int32 i = 0; i < Descs.Num(); i++)
	{
		Shapes.Add({});
		Bindings.Add({});
	}
	EXPECT(omniid_plugin::BindIdentity(Inputs, Descs, Shapes, Bindings, Error));
	EXPECT(Shapes[0].Sizes.empty() && Bindings[4].Data == nullptr && Bindings[6].SizeInBytes == 2 * sizeof(float));
	EXPECT(static_cast<const float*>(Bindings[6].Data)[1] == 0.4f && Shapes[6].Sizes == std::vector<uint32>(1, 2));
	const std::vector<uint32>& Keys = Shapes[2].Sizes;
	EXPECT(Keys.size() == 4 && Keys[0] == 2 && Keys[1] == 4 && Keys[3] == 8);
	EXPECT(Bindings[2].SizeInBytes == 2ull * Keys[0] * Keys[1] * Keys[2] * Keys[3]);
	EXPECT(Bindings[2].Data == Inputs.find("k.up")->memory.data() && Inputs.find("k") == nullptr);
	// A step changes the scales where they are.
	Call.scale = 0.0f;
	EXPECT(Inputs.fill_step(Conditioning, Call).has_value() && static_cast<const float*>(Bindings[6].Data)[1] == 0.0f);
	// Another number type, and an input that the model lacks: nothing is set.
	Bindings[6].Data = nullptr;
	Descs[2] = {TEXT("k.up"), Float};
	EXPECT(!omniid_plugin::BindIdentity(Inputs, Descs, Shapes, Bindings, Error) && Bindings[6].Data == nullptr);
	EXPECT(Utf8(Error).find("number type") != std::string::npos && Utf8(Error).find("k.up") != std::string::npos);
	Descs[2] = {TEXT("k.down.2"), Half};
	EXPECT(!omniid_plugin::BindIdentity(Inputs, Descs, Shapes, Bindings, Error));
	EXPECT(Utf8(Error).find("no identity input k.up") != std::string::npos);
}

void WrongInputs()
{
	UOmniIDModel Closed;
	for (UOmniIDEncodePhotos* Action
		: {UOmniIDEncodePhotos::EncodeOmniIDPhotos(nullptr, nullptr, Pictures(1), FOmniIDEncodeSettings()),
			 UOmniIDEncodePhotos::EncodeOmniIDPhotos(nullptr, &Closed, Pictures(1), FOmniIDEncodeSettings()),
			 UOmniIDEncodePhotos::ExtendOmniIDIdentity(nullptr, Model, nullptr, Pictures(1), FOmniIDEncodeSettings()),
			 UOmniIDEncodePhotos::EncodeOmniIDPhotos(nullptr, Model, TArray<FOmniIDPhoto>(), FOmniIDEncodeSettings())})
	{
		FHeard Heard;
		EXPECT(Encoded(Action, Heard) == nullptr);
		EXPECT(Heard.Errors.size() == 1 && Heard.Errors[0].Status == EOmniIDStatus::InvalidArgument);
	}
	TArray<FOmniIDPhoto> Few = Pictures(1);
	Few[0].Height = 4000;
	FHeard Heard;
	EXPECT(Encoded(UOmniIDEncodePhotos::EncodeOmniIDPhotos(nullptr, Model, Few, FOmniIDEncodeSettings()),
		Heard) == nullptr);
	EXPECT(Heard.Errors.size() == 1 && Heard.Errors[0].Status == EOmniIDStatus::InvalidArgument);
}

void ShutdownEndsWhatRuns()
{
	UOmniIDEncodePhotos* Action =
		UOmniIDEncodePhotos::EncodeOmniIDPhotos(nullptr, Model, Pictures(200), FOmniIDEncodeSettings());
	FHeard Heard;
	Heard.Listen(Action);
	Action->Activate();
	StandInModule().ShutdownModule();
	EXPECT(OmniIDRunningJobs().count() == 0 && !FOmniIDModule::IsLoaded());
	stand_in::Frame();
	EXPECT(Heard.Errors.size() == 1 && Heard.Errors[0].Status == EOmniIDStatus::Cancelled);
	stand_in::JoinThreads();
	delete Action;
	FHeard After;
	EXPECT(Encoded(UOmniIDEncodePhotos::EncodeOmniIDPhotos(nullptr, Model, Pictures(1), FOmniIDEncodeSettings()),
		After) == nullptr);
	EXPECT(After.Errors.size() == 1 && After.Errors[0].Status == EOmniIDStatus::Unsupported);
	// As after a reload of the plugin.
	StandInModule().StartupModule();
	FHeard Again;
	UOmniIDIdentity* Identity =
		Encoded(UOmniIDEncodePhotos::EncodeOmniIDPhotos(nullptr, Model, Pictures(1), FOmniIDEncodeSettings()), Again);
	EXPECT(Identity != nullptr);
	delete Identity;
	StandInModule().ShutdownModule();
}

void MissingLibrary()
{
	const std::string Kept = stand_in::State().PluginDir;
	stand_in::State().PluginDir = "/nowhere";
	StandInModule().StartupModule();
	EXPECT(!FOmniIDModule::IsLoaded());
	const std::string Missing = "/nowhere/Binaries/ThirdParty/OmniIDLibrary/Linux/libomniid.so.1";
	EXPECT(stand_in::State().Log.back().find("LogOmniID Error: " + Missing + " cannot be loaded") == 0);
	stand_in::State().PluginDir = Kept;
}
} // namespace

int main(int, char** Arguments)
{
	const std::string Folder = Arguments[2], PhotoFile = Arguments[3];
	stand_in::State().PluginDir = Arguments[1];
	stand_in::State().ContentDir = Folder;
	MissingLibrary();
	StandInModule().StartupModule();
	EXPECT(FOmniIDModule::IsLoaded());
	ModelOpens();
	ModelThatIsNotThere();
	PhotosAreEncoded(PhotoFile);
	PhotosOfAFolder(PhotoFile);
	ProgressIsShown();
	CancelIsHeard();
	CollectedNodeIsCancelled();
	IdentitiesAreKept(Folder);
	PeopleAreConditioned();
	GraphsAreBound();
	WrongInputs();
	ShutdownEndsWhatRuns();
	delete Model;
	std::puts("Unreal, objects and nodes on the stand-in: 13 tests passed");
	return 0;
}
