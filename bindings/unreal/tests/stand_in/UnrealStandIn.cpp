#include "UnrealStandIn.h"

namespace stand_in
{
FState& State()
{
	static FState Only;
	return Only;
}

std::string ToUtf8(const TCHAR* Text)
{
	std::string Out;
	for (; *Text != 0; Text++)
	{
		char32_t Code = *Text;
		if (Code >= 0xd800 && Code < 0xdc00 && Text[1] != 0)
		{
			Code = 0x10000 + ((Code - 0xd800) << 10) + (*++Text - 0xdc00u);
		}
		const int Extra = Code < 0x80 ? 0 : Code < 0x800 ? 1 : Code < 0x10000 ? 2 : 3;
		const char32_t Lead[] = {0, 0xc0, 0xe0, 0xf0};
		Out += static_cast<char>(Lead[Extra] | Code >> (6 * Extra));
		for (int i = Extra - 1; i >= 0; i--)
		{
			Out += static_cast<char>(0x80 | (Code >> (6 * i) & 0x3f));
		}
	}
	return Out;
}

std::u16string FromUtf8(const char* Text)
{
	std::u16string Out;
	for (const auto* Byte = reinterpret_cast<const unsigned char*>(Text); *Byte != 0;)
	{
		const int Extra = *Byte < 0x80 ? 0 : *Byte < 0xe0 ? 1 : *Byte < 0xf0 ? 2 : 3;
		const char32_t Mask[] = {0x7f, 0x1f, 0x0f, 0x07};
		char32_t Code = *Byte++ & Mask[Extra];
		for (int i = 0; i < Extra; i++)
		{
			Code = Code << 6 | (*Byte++ & 0x3fu);
		}
		if (Code >= 0x10000)
		{
			Out += static_cast<char16_t>(0xd800 + ((Code - 0x10000) >> 10));
			Code = 0xdc00 + ((Code - 0x10000) & 0x3ff);
		}
		Out += static_cast<char16_t>(Code);
	}
	return Out;
}

void Frame()
{
	FTSTicker::GetCoreTicker().Tick();
	for (;;)
	{
		std::function<void()> Task;
		{
			const std::lock_guard<std::mutex> Lock(State().Mutex);
			if (State().GameThread.empty())
			{
				return;
			}
			Task = std::move(State().GameThread.front());
			State().GameThread.pop_front();
		}
		Task();
	}
}

void JoinThreads()
{
	std::vector<std::thread> Threads;
	{
		const std::lock_guard<std::mutex> Lock(State().Mutex);
		Threads.swap(State().Threads);
	}
	for (std::thread& Thread : Threads)
	{
		Thread.join();
	}
}
} // namespace stand_in

UObject::UObject()
{
	const std::lock_guard<std::mutex> Lock(stand_in::State().Mutex);
	stand_in::State().Alive.insert(this);
}

UObject::~UObject()
{
	const std::lock_guard<std::mutex> Lock(stand_in::State().Mutex);
	stand_in::State().Alive.erase(this);
}

void Collect(UObject* Object)
{
	Object->BeginDestroy();
	delete Object;
}

FTSTicker& FTSTicker::GetCoreTicker()
{
	static FTSTicker Only;
	return Only;
}

FTSTicker::FDelegateHandle FTSTicker::AddTicker(const FTickerDelegate& Delegate, float)
{
	Delegates.emplace_back(Next, Delegate);
	FDelegateHandle Handle;
	Handle.Id = Next++;
	return Handle;
}

void FTSTicker::RemoveTicker(FDelegateHandle Handle)
{
	auto& All = GetCoreTicker().Delegates;
	All.erase(std::remove_if(All.begin(), All.end(), [&](const auto& Entry) { return Entry.first == Handle.Id; }),
		All.end());
}

void FTSTicker::Tick()
{
	const auto Copy = Delegates;
	for (const auto& [Id, Delegate] : Copy)
	{
		if (!Delegate.Function(0.016f))
		{
			FDelegateHandle Handle;
			Handle.Id = Id;
			RemoveTicker(Handle);
		}
	}
}

void StandInLog(const char* Category, const char* Verbosity, const TCHAR* Format, ...)
{
	std::string Out = std::string(Category) + " " + Verbosity + ": ";
	const std::string Pattern = stand_in::ToUtf8(Format);
	va_list Arguments;
	va_start(Arguments, Format);
	for (std::size_t i = 0; i < Pattern.size(); i++)
	{
		if (Pattern[i] == '%' && i + 1 < Pattern.size())
		{
			const char Kind = Pattern[++i];
			Out += Kind == 's' ? stand_in::ToUtf8(va_arg(Arguments, const TCHAR*))
				: std::to_string(va_arg(Arguments, uint32));
		}
		else
		{
			Out += Pattern[i];
		}
	}
	va_end(Arguments);
	const std::lock_guard<std::mutex> Lock(stand_in::State().Mutex);
	stand_in::State().Log.push_back(Out);
}

void IFileManager::FindFiles(TArray<FString>& Found, const TCHAR* Pattern, bool bFiles, bool bFolders)
{
	const std::filesystem::path Path(stand_in::ToUtf8(Pattern));
	const std::string Ending = Path.extension().string();
	std::error_code Ignored;
	for (const auto& Entry : std::filesystem::directory_iterator(Path.parent_path(), Ignored))
	{
		const bool bWanted = Entry.is_directory() ? bFolders : bFiles;
		if (bWanted && Entry.path().extension() == Ending)
		{
			Found.Add(FString(UTF8_TO_TCHAR(Entry.path().filename().string().c_str())));
		}
	}
}
