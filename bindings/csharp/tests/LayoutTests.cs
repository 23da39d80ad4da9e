using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Runtime.InteropServices;

namespace OmniID.Tests
{
    /// <summary>The structs of the declarations are those of the C compiler, byte for byte.</summary>
    internal static class LayoutTests
    {
        public static IEnumerable<Test> All()
        {
            yield return new Test("layout: sizes and offsets are the C compiler's", SizesAndOffsets);
            yield return new Test("layout: every function is in the library", EveryFunctionExists);
            yield return new Test("layout: versions agree", Versions);
        }

        private static Type Native(string name)
        {
            return typeof(Engine).Assembly.GetType("OmniID.Native." + name, true);
        }

        private static void SizesAndOffsets()
        {
            int structs = 0, fields = 0;
            foreach (string line in File.ReadAllLines(Path.Combine(Inputs.Folder, "layout.txt")))
            {
                string[] words = line.Split(' ');
                string[] names = words[0].Split('.');
                int expected = int.Parse(words[1]);
                if (names.Length == 1)
                {
                    structs++;
                    Check.Equal(expected, Marshal.SizeOf(Native(names[0])), "size of " + names[0]);
                }
                else
                {
                    fields++;
                    Check.Equal(expected, Marshal.OffsetOf(Native(names[0]), names[1]).ToInt32(),
                        "offset of " + words[0]);
                }
            }
            Type[] declared = typeof(Engine).Assembly.GetTypes()
                .Where(t => t.IsValueType && t.Name.StartsWith("Native") && t.Namespace == "OmniID.Native").ToArray();
            Check.Equal(declared.Length, structs, "number of structs");
            Check.Equal(declared.Sum(t =>
                t.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic).Length), fields,
                "number of fields");
        }

        private static void EveryFunctionExists()
        {
            MethodInfo[] methods = Native("NativeMethods")
                .GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.DeclaredOnly);
            foreach (MethodInfo method in methods)
                Marshal.Prelink(method);
            var exported = new HashSet<string>(File.ReadAllLines(Path.Combine(Inputs.Folder, "exports.txt")));
            Check.True(exported.SetEquals(methods.Select(m => m.Name)),
                "the declared functions are not those that the library exports");
        }

        private static void Versions()
        {
            Library.CheckVersion();
            Check.Equal(new Version(1, 0).Major, Library.AbiVersion.Major, "major ABI version");
            Check.True(Library.Version.Split('.').Length == 3, "release: " + Library.Version);
        }
    }
}
