/*
 * A HAND-WRITTEN STAND-IN for what the plugin's Build.cs files use of UnrealBuildTool, and a program that runs them for
 * each platform and looks whether the files that they name are there: BuildRules.exe PLUGIN. It is not UnrealBuildTool.
 */
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;

namespace UnrealBuildTool
{
    public struct UnrealTargetPlatform
    {
        public static readonly UnrealTargetPlatform Win64 = new UnrealTargetPlatform { Name = "Win64" };
        public static readonly UnrealTargetPlatform Mac = new UnrealTargetPlatform { Name = "Mac" };
        public static readonly UnrealTargetPlatform Linux = new UnrealTargetPlatform { Name = "Linux" };
        public static readonly UnrealTargetPlatform Android = new UnrealTargetPlatform { Name = "Android" };
        public string Name;

        public static bool operator ==(UnrealTargetPlatform a, UnrealTargetPlatform b) => a.Name == b.Name;
        public static bool operator !=(UnrealTargetPlatform a, UnrealTargetPlatform b) => a.Name != b.Name;
        public override bool Equals(object other) =>
            other is UnrealTargetPlatform && ((UnrealTargetPlatform)other).Name == Name;
        public override int GetHashCode() => Name.GetHashCode();
        public override string ToString() => Name;
    }

    public class ReadOnlyTargetRules
    {
        public UnrealTargetPlatform Platform;
        public string PluginDirectory, ModuleDirectory;
    }

    public class BuildException : Exception
    {
        public BuildException(string message) : base(message) { }
    }

    public class RuntimeDependencyList
    {
        public readonly List<string> Paths = new List<string>();

        public void Add(string path) => Paths.Add(path);
    }

    public class ModuleRules
    {
        public enum ModuleType { CPlusPlus, External }
        public enum PCHUsageMode { Default, UseExplicitOrSharedPCHs }

        public ModuleType Type;
        public PCHUsageMode PCHUsage;
        public readonly List<string> PublicDependencyModuleNames = new List<string>(),
            PrivateDependencyModuleNames = new List<string>();
        public readonly List<string> PublicSystemIncludePaths = new List<string>(),
            PublicDefinitions = new List<string>();
        public readonly List<string> PublicAdditionalLibraries = new List<string>(),
            PublicDelayLoadDLLs = new List<string>();
        public readonly List<string> PublicRuntimeLibraryPaths = new List<string>();
        public readonly RuntimeDependencyList RuntimeDependencies = new RuntimeDependencyList();
        public readonly string PluginDirectory, ModuleDirectory;

        public ModuleRules(ReadOnlyTargetRules target)
        {
            PluginDirectory = target.PluginDirectory;
            ModuleDirectory = target.ModuleDirectory;
        }
    }

    internal static class BuildRules
    {
        private static int Main(string[] arguments)
        {
            string plugin = arguments[0];
            var platforms = new[] { UnrealTargetPlatform.Win64, UnrealTargetPlatform.Mac, UnrealTargetPlatform.Linux };
            foreach (UnrealTargetPlatform platform in platforms)
            {
                ModuleRules library = Library(plugin, platform);
                Check(library.Type == ModuleRules.ModuleType.External, platform, "an external module");
                Check(File.Exists(Path.Combine(library.PublicSystemIncludePaths.Single(), "omniid.hpp")), platform,
                    "headers");
                Check(library.RuntimeDependencies.Paths.Count == 1, platform, "one file is staged");
                foreach (string file in library.RuntimeDependencies.Paths.Concat(library.PublicAdditionalLibraries))
                    Check(File.Exists(file), platform, file);
                Check(library.PublicDelayLoadDLLs.Count == 1, platform, "loaded with delay");
                string name = Path.GetFileName(library.RuntimeDependencies.Paths[0]);
                Check(name == (platform == UnrealTargetPlatform.Win64 ? "omniid.dll"
                    : platform == UnrealTargetPlatform.Mac ? "libomniid.1.dylib" : "libomniid.so.1"), platform, name);
            }
            string missing = Path.Combine(plugin, "Binaries", "ThirdParty", "OmniIDLibrary", "Linux", "libomniid.so.1");
            File.Move(missing, missing + ".moved");
            Check(Refuses(plugin, UnrealTargetPlatform.Linux, "libomniid.so.1 is missing"), UnrealTargetPlatform.Linux,
                "a missing library");
            File.Move(missing + ".moved", missing);
            Check(Refuses(plugin, UnrealTargetPlatform.Android, "no library for Android"), UnrealTargetPlatform.Android,
                "another platform");
            ModuleRules module = new global::OmniID(Target(plugin, UnrealTargetPlatform.Linux, "OmniID"));
            Check(module.PublicDependencyModuleNames.Contains("OmniIDLibrary"), UnrealTargetPlatform.Linux,
                "the module uses the library");
            Console.WriteLine("Unreal, build rules on the stand-in: 3 platforms passed");
            return 0;
        }

        private static ModuleRules Library(string plugin, UnrealTargetPlatform platform)
        {
            return new global::OmniIDLibrary(Target(plugin, platform, "ThirdParty/OmniIDLibrary"));
        }

        private static ReadOnlyTargetRules Target(string plugin, UnrealTargetPlatform platform, string module)
        {
            return new ReadOnlyTargetRules { Platform = platform, PluginDirectory = plugin,
                ModuleDirectory = Path.Combine(plugin, "Source", module) };
        }

        private static bool Refuses(string plugin, UnrealTargetPlatform platform, string message)
        {
            try
            {
                Library(plugin, platform);
                return false;
            }
            catch (BuildException exception)
            {
                return exception.Message.Contains(message);
            }
        }

        private static void Check(bool right, UnrealTargetPlatform platform, string what)
        {
            if (right)
                return;
            Console.Error.WriteLine(platform + ": " + what);
            Environment.Exit(1);
        }
    }
}
