/*
 * A HAND-WRITTEN STAND-IN for the parts of Unreal Engine that the plugin uses, so that its sources can be compiled and
 * partly run where Unreal cannot be installed. It shows that they are valid C++, use names and signatures as Epic's
 * documentation gives them, and do what they should when called. It is not Unreal: reflection, garbage collection,
 * serialization, Blueprint and the engine's threads are not reproduced.
 */
#pragma once

#include <dlfcn.h>

#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// Names that Unreal takes as macros.
#define check(expression) ((void)(expression))
#define verify(expression) ((void)(expression))
#define ensure(expression) (!!(expression))
#define PI (3.1415926535897932f)
#define INDEX_NONE (-1)

#define PLATFORM_WINDOWS 0
#define PLATFORM_MAC 0
#define PLATFORM_LINUX 1
#define THIRD_PARTY_INCLUDES_START
#define THIRD_PARTY_INCLUDES_END
#define OMNIID_API

// What Unreal's header tool reads. It makes GENERATED_BODY from file and line, and so does tests/generate_headers.
#define UCLASS(...)
#define USTRUCT(...)
#define UENUM(...)
#define UMETA(...)
#define UPROPERTY(...)
#define UFUNCTION(...)
#define STAND_IN_JOIN_INNER(a, b, c) a##_##b##_##c
#define STAND_IN_JOIN(a, b, c) STAND_IN_JOIN_INNER(a, b, c)
#define GENERATED_BODY(...) STAND_IN_JOIN(CURRENT_FILE_ID, __LINE__, GENERATED_BODY)

using int32 = std::int32_t;
using uint8 = std::uint8_t;
using uint32 = std::uint32_t;
using TCHAR = char16_t;
#define TEXT_INNER(text) u##text
#define TEXT(text) TEXT_INNER(text)

namespace stand_in
{
std::string ToUtf8(const TCHAR* Text);
std::u16string FromUtf8(const char* Text);

/** Whatever is to be seen by the tests. */
struct FState
{
	std::string PluginDir, ContentDir;
	std::mutex Mutex;
	std::vector<std::string> Log;
	std::deque<std::function<void()>> GameThread;
	std::vector<std::thread> Threads;
	std::set<const void*> Alive;
	std::thread::id GameThreadId = std::this_thread::get_id();
};
FState& State();

/** Runs what was given to the game thread, and its tickers, once. */
void Frame();

/** Waits for the threads that were started. */
void JoinThreads();
} // namespace stand_in

#define TCHAR_TO_UTF8(text) stand_in::ToUtf8(text).c_str()
#define UTF8_TO_TCHAR(text) stand_in::FromUtf8(text).c_str()

template <class T>
std::remove_reference_t<T>&& MoveTemp(T&& Value)
{
	return static_cast<std::remove_reference_t<T>&&>(Value);
}

class FString
{
public:
	FString() = default;
	FString(const TCHAR* Text) : Chars(Text) {}
	const TCHAR* operator*() const { return Chars.c_str(); }
	bool IsEmpty() const { return Chars.empty(); }
	int32 Len() const { return static_cast<int32>(Chars.size()); }
	friend bool operator==(const FString& A, const FString& B) { return A.Chars == B.Chars; }
	friend FString operator+(const TCHAR* A, const FString& B)
	{
		FString Sum(A);
		Sum.Chars += B.Chars;
		return Sum;
	}
	friend bool operator<(const FString& A, const FString& B) { return A.Chars < B.Chars; }

private:
	std::u16string Chars;
};

template <class T>
class TArray
{
public:
	int32 Num() const { return static_cast<int32>(Items.size()); }
	T* GetData() { return Items.data(); }
	const T* GetData() const { return Items.data(); }
	int32 Add(const T& Item) { Items.push_back(Item); return Num() - 1; }
	void Append(const TArray& Other) { Items.insert(Items.end(), Other.Items.begin(), Other.Items.end()); }
	void SetNumUninitialized(int32 Count) { Items.resize(static_cast<std::size_t>(Count)); }
	void Sort() { std::sort(Items.begin(), Items.end()); }
	T& operator[](int32 Index) { return Items[static_cast<std::size_t>(Index)]; }
	const T& operator[](int32 Index) const { return Items[static_cast<std::size_t>(Index)]; }
	auto begin() { return Items.begin(); }
	auto end() { return Items.end(); }
	auto begin() const { return Items.begin(); }
	auto end() const { return Items.end(); }

private:
	std::vector<T> Items;
};

struct FColor
{
	uint8 B = 0, G = 0, R = 0, A = 0;
};

struct FVector4
{
	double X, Y, Z, W;
	FVector4(double InX, double InY, double InZ, double InW) : X(InX), Y(InY), Z(InZ), W(InW) {}
};

/** Holds functions that can be moved only. */
template <class Signature>
class TUniqueFunction;

template <class R, class... Args>
class TUniqueFunction<R(Args...)>
{
	struct FBase
	{
		virtual ~FBase() = default;
		virtual R Call(Args... Arguments) = 0;
	};
	template <class F>
	struct FHolder : FBase
	{
		F Function;
		explicit FHolder(F&& In) : Function(std::move(In)) {}
		R Call(Args... Arguments) override { return Function(std::forward<Args>(Arguments)...); }
	};

public:
	TUniqueFunction() = default;
	template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, TUniqueFunction>>>
	TUniqueFunction(F Function) : Holder(std::make_unique<FHolder<F>>(std::move(Function))) {}
	R operator()(Args... Arguments) const { return Holder->Call(std::forward<Args>(Arguments)...); }
	explicit operator bool() const { return Holder != nullptr; }
	void Reset() { Holder.reset(); }

private:
	std::unique_ptr<FBase> Holder;
};

template <class T>
class TSharedPtr
{
public:
	TSharedPtr() = default;
	explicit TSharedPtr(std::shared_ptr<T> In) : Pointer(std::move(In)) {}
	bool IsValid() const { return Pointer != nullptr; }
	T* operator->() const { return Pointer.get(); }

private:
	std::shared_ptr<T> Pointer;
};

template <class T>
class TObjectPtr
{
public:
	TObjectPtr(T* In = nullptr) : Pointer(In) {}
	operator T*() const { return Pointer; }
	T* operator->() const { return Pointer; }

private:
	T* Pointer;
};

class UObject
{
public:
	using ThisClass = UObject;
	UObject();
	virtual ~UObject();
	virtual void PostLoad() {}
	virtual void PostDuplicate(bool) {}
	virtual void BeginDestroy() {}
	FString GetName() const { return FString(TEXT("object")); }
};

template <class T>
T* NewObject()
{
	return new T();
}

/** What the garbage collector does to one object. */
void Collect(UObject* Object);

template <class T>
class TWeakObjectPtr
{
public:
	explicit TWeakObjectPtr(T* In) : Pointer(In) {}
	T* Get() const
	{
		const std::lock_guard<std::mutex> Lock(stand_in::State().Mutex);
		return stand_in::State().Alive.count(static_cast<const UObject*>(Pointer)) != 0 ? Pointer : nullptr;
	}

private:
	T* Pointer;
};

class UBlueprintFunctionLibrary : public UObject
{
};

class UBlueprintAsyncActionBase : public UObject
{
public:
	virtual void Activate() {}
	void RegisterWithGameInstance(const UObject* WorldContextObject) { Context = WorldContextObject; }
	virtual void SetReadyToDestroy() { bReadyToDestroy = true; }

	const UObject* Context = nullptr;
	bool bReadyToDestroy = false;
};

/** A multicast delegate that tests can listen to. */
template <class... Args>
struct TStandInDelegate
{
	std::vector<std::function<void(Args...)>> Listeners;
	void Broadcast(Args... Arguments) const
	{
		for (const auto& Listener : Listeners)
		{
			Listener(Arguments...);
		}
	}
};
#define DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(Name, Type, Parameter) struct Name : TStandInDelegate<Type> {}
#define DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(Name, Type1, Parameter1, Type2, Parameter2) \
	struct Name : TStandInDelegate<Type1, Type2> {}

class FTickerDelegate
{
public:
	template <class T, class U>
	static FTickerDelegate CreateUObject(T* Object, bool (U::*Method)(float))
	{
		FTickerDelegate Delegate;
		Delegate.Function = [Object, Method](float Delta) { return (Object->*Method)(Delta); };
		return Delegate;
	}
	std::function<bool(float)> Function;
};

class FTSTicker
{
public:
	class FDelegateHandle
	{
	public:
		bool IsValid() const { return Id != 0; }
		void Reset() { Id = 0; }
		int32 Id = 0;
	};
	static FTSTicker& GetCoreTicker();
	FDelegateHandle AddTicker(const FTickerDelegate& Delegate, float Delay = 0.0f);
	static void RemoveTicker(FDelegateHandle Handle);
	void Tick();
	std::size_t Count() const { return Delegates.size(); }

private:
	std::vector<std::pair<int32, FTickerDelegate>> Delegates;
	int32 Next = 1;
};

enum class EAsyncExecution { Thread };

template <class F>
void Async(EAsyncExecution, F&& Function)
{
	const std::lock_guard<std::mutex> Lock(stand_in::State().Mutex);
	stand_in::State().Threads.emplace_back(std::forward<F>(Function));
}

namespace ENamedThreads
{
enum Type { GameThread };
}

inline void AsyncTask(ENamedThreads::Type, TUniqueFunction<void()> Function)
{
	auto Shared = std::make_shared<TUniqueFunction<void()>>(std::move(Function));
	const std::lock_guard<std::mutex> Lock(stand_in::State().Mutex);
	stand_in::State().GameThread.push_back([Shared] { (*Shared)(); });
}

#define DECLARE_LOG_CATEGORY_EXTERN(Name, Default, Compile) extern const char* const Name
#define DEFINE_LOG_CATEGORY(Name) const char* const Name = #Name
#define UE_LOG(Category, Verbosity, Format, ...) StandInLog(Category, #Verbosity, Format, __VA_ARGS__)
void StandInLog(const char* Category, const char* Verbosity, const TCHAR* Format, ...);

class IModuleInterface
{
public:
	virtual ~IModuleInterface() = default;
	virtual void StartupModule() {}
	virtual void ShutdownModule() {}
};
#define IMPLEMENT_MODULE(Class, Name) \
	IModuleInterface& StandInModule() { static Class Module; return Module; }
IModuleInterface& StandInModule();

class IPlugin
{
public:
	FString GetBaseDir() const { return FString(*FString(UTF8_TO_TCHAR(stand_in::State().PluginDir.c_str()))); }
};

class IPluginManager
{
public:
	static IPluginManager& Get() { static IPluginManager Manager; return Manager; }
	TSharedPtr<IPlugin> FindPlugin(const FString& Name)
	{
		return Name == FString(TEXT("OmniID")) ? TSharedPtr<IPlugin>(std::make_shared<IPlugin>())
			: TSharedPtr<IPlugin>();
	}
};

struct FPlatformProcess
{
	static void* GetDllHandle(const TCHAR* Path) { return dlopen(TCHAR_TO_UTF8(Path), RTLD_NOW); }
};

struct FPaths
{
	static bool IsRelative(const FString& Path) { return Path.IsEmpty() || (*Path)[0] != u'/'; }
	static FString ProjectContentDir() { return FString(UTF8_TO_TCHAR(stand_in::State().ContentDir.c_str())); }
	static FString ConvertRelativePathToFull(const FString& Base, const FString& Path) { return Combine(Base, Path); }
	template <class... Rest>
	static FString Combine(const FString& First, const FString& Second, const Rest&... Others)
	{
		const std::string Path = std::string(TCHAR_TO_UTF8(*First)) + "/" + TCHAR_TO_UTF8(*Second);
		const FString Joined(UTF8_TO_TCHAR(Path.c_str()));
		if constexpr (sizeof...(Others) == 0)
		{
			return Joined;
		}
		else
		{
			return Combine(Joined, Others...);
		}
	}
};

class IFileManager
{
public:
	static IFileManager& Get() { static IFileManager Manager; return Manager; }
	void FindFiles(TArray<FString>& Found, const TCHAR* Pattern, bool bFiles, bool bFolders);
};

class FTextureRenderTargetResource
{
public:
	TArray<FColor> Colors;
	bool bReadable = true;
	bool ReadPixels(TArray<FColor>& Out) const
	{
		Out = Colors;
		return bReadable;
	}
};

class UTextureRenderTarget2D : public UObject
{
public:
	int32 SizeX = 0, SizeY = 0;
	FTextureRenderTargetResource Resource;
	FTextureRenderTargetResource* GameThread_GetRenderTargetResource() { return &Resource; }
};
