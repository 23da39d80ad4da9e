using System;
using System.Linq;

namespace OmniID.Tests
{
    /// <summary>
    /// The tests of the C# binding: <c>OmniID.Tests.exe FOLDER [PART OF A NAME]</c>. scripts/test-csharp makes the
    /// folder.
    /// </summary>
    internal static class Program
    {
        private static int Main(string[] arguments)
        {
            Inputs.Folder = arguments[0];
            if (arguments.Length == 3 && arguments[1] == "--exit-during")
                return LifetimeTests.RunExit(arguments[2]);
            if (arguments.Length == 3 && arguments[1] == "--shutdown")
                return LifetimeTests.RunShutdown();
            if (arguments.Length == 3 && arguments[1] == "--no-library")
                return LifetimeTests.RunWithoutLibrary();
            var tests = LayoutTests.All().Concat(ResultTests.All()).Concat(FaceTests.All()).Concat(MisuseTests.All())
                .Concat(AsyncTests.All()).Concat(GraphTests.All()).Concat(LeakTests.All()).Concat(LifetimeTests.All());
            return Runner.Run(tests, arguments.ElementAtOrDefault(1)) == 0 ? 0 : 1;
        }
    }
}
