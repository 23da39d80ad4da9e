using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;

namespace OmniID.Tests
{
    /// <summary>
    /// Every type that an assembly uses is in .NET Standard: <c>StandardCheck.exe ASSEMBLY netstandard.dll</c>.
    /// Compares the assembly's references with the types that netstandard.dll forwards.
    /// </summary>
    internal static class NetStandardProgram
    {
        private static int Main(string[] arguments)
        {
            using (var assembly = new PEReader(File.OpenRead(arguments[0])))
            using (var standard = new PEReader(File.OpenRead(arguments[1])))
            {
                MetadataReader reader = standard.GetMetadataReader();
                var known = new HashSet<string>();
                foreach (ExportedTypeHandle handle in reader.ExportedTypes)
                {
                    ExportedType type = reader.GetExportedType(handle);
                    known.Add(reader.GetString(type.Namespace) + "." + reader.GetString(type.Name));
                }
                MetadataReader used = assembly.GetMetadataReader();
                string[] names = used.TypeReferences.Select(h => used.GetTypeReference(h))
                    .Where(t => t.ResolutionScope.Kind == HandleKind.AssemblyReference)
                    .Select(t => used.GetString(t.Namespace) + "." + used.GetString(t.Name)).Distinct().ToArray();
                string[] foreign = names.Where(n => !known.Contains(n)).ToArray();
                AssemblyDefinition definition = reader.GetAssemblyDefinition();
                Console.WriteLine($"{names.Length} types are used, {known.Count} are in "
                    + $"{reader.GetString(definition.Name)} {definition.Version}");
                foreach (string name in foreign)
                    Console.WriteLine("not in .NET Standard: " + name);
                return names.Length > 20 && foreign.Length == 0 ? 0 : 1;
            }
        }
    }
}
