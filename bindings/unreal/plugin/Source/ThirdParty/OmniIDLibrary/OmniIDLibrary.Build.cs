using System.IO;
using UnrealBuildTool;

/// The native library: headers to include, a file to link with, and the file that programs load, which is staged with
/// them.
public class OmniIDLibrary : ModuleRules
{
	public OmniIDLibrary(ReadOnlyTargetRules Target) : base(Target)
	{
		Type = ModuleType.External;
		PublicSystemIncludePaths.Add(Path.Combine(ModuleDirectory, "include"));
		// One inline namespace for all modules of a target, whether they have exceptions or not.
		PublicDefinitions.Add("OMNIID_NO_EXCEPTIONS=1");

		string Binaries = Path.Combine(PluginDirectory, "Binaries", "ThirdParty", "OmniIDLibrary");
		if (Target.Platform == UnrealTargetPlatform.Win64)
		{
			PublicAdditionalLibraries.Add(Path.Combine(ModuleDirectory, "lib", "Win64", "omniid.dll.lib"));
			// The module loads the library itself, from where it is staged, before the first call.
			PublicDelayLoadDLLs.Add("omniid.dll");
			Stage(Path.Combine(Binaries, "Win64", "omniid.dll"));
		}
		else if (Target.Platform == UnrealTargetPlatform.Mac)
		{
			string Library = Path.Combine(Binaries, "Mac", "libomniid.1.dylib");
			PublicDelayLoadDLLs.Add(Library);
			Stage(Library);
		}
		else if (Target.Platform == UnrealTargetPlatform.Linux)
		{
			// Linked by the name without a version, loaded by the name in it, which has one.
			string Folder = Path.Combine(Binaries, "Linux");
			PublicAdditionalLibraries.Add(Path.Combine(Folder, "libomniid.so"));
			PublicDelayLoadDLLs.Add(Path.Combine(Folder, "libomniid.so"));
			PublicRuntimeLibraryPaths.Add(Folder);
			Stage(Path.Combine(Folder, "libomniid.so.1"));
		}
		else
		{
			throw new BuildException("OmniID has no library for " + Target.Platform);
		}
	}

	private void Stage(string Library)
	{
		if (!File.Exists(Library))
		{
			throw new BuildException("OmniID: " + Library + " is missing; make the plugin with "
				+ "bindings/unreal/assemble and a library for this platform");
		}
		RuntimeDependencies.Add(Library);
	}
}
