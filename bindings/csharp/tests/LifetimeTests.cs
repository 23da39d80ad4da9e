using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;

namespace OmniID.Tests
{
    /// <summary>The end of a program or of a domain during calls.</summary>
    internal static class LifetimeTests
    {
        public static IEnumerable<Test> All()
        {
            foreach (string activity in new[] { "encode", "inject", "log", "idle" })
                yield return new Test("lifetime: exit during " + activity, () => ExitDuring(activity));
            yield return new Test("lifetime: the native library is missing", MissingLibrary);
            yield return new Test("lifetime: shutdown ends running calls", Shutdown);
            if (Type.GetType("Mono.Runtime") != null)
                yield return new Test("lifetime: domains unloaded during calls", UnloadedDomains);
            else
                Console.WriteLine("skipped lifetime: domains unloaded during calls (this runtime has no domains)");
        }

        /// <summary>Starts this program again, which exits in the middle of something.</summary>
        private static void ExitDuring(string activity)
        {
            for (int i = 0; i < 3; i++)
                Check.Equal(0, Start("--exit-during", activity),
                    $"exit code of a program that exits during {activity}");
        }

        private static void Shutdown()
        {
            Check.Equal(0, Start("--shutdown", "now"), "exit code of a program that shuts the library down");
        }

        private static void MissingLibrary()
        {
            string folder = Path.Combine(Path.GetDirectoryName(typeof(Engine).Assembly.Location), "alone");
            Directory.CreateDirectory(folder);
            foreach (string path in new[] { typeof(LifetimeTests).Assembly.Location, typeof(Engine).Assembly.Location })
                File.Copy(path, Path.Combine(folder, Path.GetFileName(path)), true);
            Check.Equal(0, Start("--no-library", "now", folder), "exit code of a program without the native library");
        }

        /// <summary>Runs in a program of its own; returns its exit code.</summary>
        public static int RunWithoutLibrary()
        {
            Check.Throws<DllNotFoundException>(() => Engine.Open(Inputs.Model), "omniid");
            Check.Throws<DllNotFoundException>(() => Identity.Load("a.omniid"), "omniid");
            return 0;
        }

        private static int Start(string mode, string argument, string folder = null)
        {
            string program = typeof(LifetimeTests).Assembly.Location;
            if (folder != null)
                program = Path.Combine(folder, Path.GetFileName(program));
            var start = new ProcessStartInfo(Process.GetCurrentProcess().MainModule.FileName,
                $"\"{program}\" \"{Inputs.Folder}\" {mode} {argument}") { UseShellExecute = false };
            if (folder != null)
                start.EnvironmentVariables.Remove("LD_LIBRARY_PATH");
            // Mono 6 aborts by itself when it ends while a background thread enters or leaves native code, whichever
            // ("Cannot transition thread ... from STATE_BLOCKING with DO_BLOCKING": 14 of 400 programs that only call
            // libc's abs; 0 of 400 with this way of suspending threads).
            start.EnvironmentVariables["MONO_THREADS_SUSPEND"] = "preemptive";
            using (Process process = Process.Start(start))
            {
                if (!process.WaitForExit(30000))
                {
                    process.Kill();
                    throw new FailedException("the program did not end");
                }
                return process.ExitCode;
            }
        }

        /// <summary>Runs in a program of its own; returns its exit code.</summary>
        public static int RunExit(string activity)
        {
            Engine engine = Engine.Open(Inputs.Model);
            Identity identity = engine.Encode(new[] { Inputs.Pixels() }).Identity;
            Conditioning conditioning = engine.Condition(identity);
            Photo[] photos = activity == "log" ? Inputs.PhotosToLogAbout() : Inputs.ManyPhotos();
            if (activity == "log")
                Log.Set((level, target, message) => Thread.Sleep(1), LogLevel.Trace);
            for (int i = 0; i < 3 && activity != "idle"; i++)
            {
                var thread = new Thread(() =>
                {
                    var query = new float[16 * 512];
                    var output = new float[query.Length];
                    while (true)
                    {
                        if (activity == "inject")
                            conditioning.Inject(new InjectCall(0), query, output, 512);
                        else
                            engine.Encode(photos, null, new Progress<EncodeProgress>(_ => { }));
                    }
                });
                thread.IsBackground = true;
                thread.Start();
            }
            Thread.Sleep(100);
            Environment.Exit(0);
            return 1;
        }

        /// <summary>Runs in a program of its own; returns its exit code.</summary>
        public static int RunShutdown()
        {
            Engine engine = Engine.Open(Inputs.Model);
            Task<Encoded> task = engine.EncodeAsync(Inputs.ManyPhotos());
            Thread.Sleep(50);
            if (!Library.Shutdown(TimeSpan.FromSeconds(20)))
                return 2;
            try
            {
                task.Wait();
                return 3;
            }
            catch (AggregateException exception) when (exception.InnerException is OperationCanceledException)
            {
            }
            try
            {
                engine.Encode(Inputs.ManyPhotos());
                return 4;
            }
            catch (InvalidOperationException)
            {
            }
            // Short calls go on working.
            return Library.Version.Length > 0 && engine.Info.Tokens > 0 ? 0 : 5;
        }

        private static void UnloadedDomains()
        {
            for (int i = 0; i < 4; i++)
            {
                AppDomain domain = AppDomain.CreateDomain("reload " + i);
                var worker = (DomainWorker)domain.CreateInstanceFromAndUnwrap(typeof(DomainWorker).Assembly.Location,
                    typeof(DomainWorker).FullName);
                worker.Start(Inputs.Folder);
                AppDomain.Unload(domain);
            }
            // Nothing of the unloaded domains is called any more.
            using (Engine engine = Engine.Open(Inputs.Model))
                Check.SameBits(Inputs.Floats("tokens.bin"), engine.Encode(Inputs.Photos()).Identity.Tokens().ToArray(),
                    "tokens afterwards");
        }
    }

    /// <summary>
    /// Lives in a domain that is unloaded while it encodes, as in Unity's editor after a compilation.
    /// </summary>
    public sealed class DomainWorker : MarshalByRefObject
    {
        /// <summary>Installs a log listener and starts encoding; returns when both have been called.</summary>
        public void Start(string folder)
        {
            Inputs.Folder = folder;
            int messages = 0, progress = 0;
            Log.Set((level, target, message) => Interlocked.Increment(ref messages), LogLevel.Trace);
            Engine engine = Engine.Open(Inputs.Model);
            Photo[] photos = Inputs.PhotosToLogAbout().Concat(Inputs.ManyPhotos()).ToArray();
            for (int i = 0; i < 2; i++)
                engine.EncodeAsync(photos, null, new Counter(() => Interlocked.Increment(ref progress)));
            if (!SpinWait.SpinUntil(() => Volatile.Read(ref messages) > 0 && Volatile.Read(ref progress) > 4, 20000))
                throw new FailedException($"{messages} messages, {progress} progress");
        }

        private sealed class Counter : IProgress<EncodeProgress>
        {
            private readonly Action action;

            public Counter(Action action)
            {
                this.action = action;
            }

            public void Report(EncodeProgress value) => action();
        }
    }
}
