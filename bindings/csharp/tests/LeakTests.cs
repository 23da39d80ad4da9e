using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;

namespace OmniID.Tests
{
    /// <summary>A thousand rounds leave nothing behind, and injecting allocates nothing. glibc counts.</summary>
    internal static class LeakTests
    {
        private const int Rounds = 1000;

        public static IEnumerable<Test> All()
        {
            yield return new Test("leaks: 1,000 rounds of encode and inject", DisposedRounds);
            yield return new Test("leaks: 1,000 rounds left to the collector", AbandonedRounds);
            yield return new Test("leaks: 1,000 failures and cancellations", FailedRounds);
            yield return new Test("leaks: injecting allocates no managed memory", NoGarbage);
        }

        [StructLayout(LayoutKind.Sequential)]
        private struct Mallinfo
        {
            public UIntPtr Arena, FreeChunks, FastChunks, Maps, MapBytes, Unused, FastBytes, Used, Free, Top;
        }

        [DllImport("libc.so.6")]
        private static extern Mallinfo mallinfo2();

        /// <summary>Bytes that malloc has handed out, over all threads.</summary>
        private static long Used()
        {
            for (int i = 0; i < 3; i++)
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
            }
            Mallinfo info = mallinfo2();
            return (long)(ulong)info.Used + (long)(ulong)info.MapBytes;
        }

        private static void NoGrowth(string what, Action round)
        {
            for (int i = 0; i < 100; i++)
                round();
            // The runtime's own compiler and caches allocate, too, but not for ever; a leak shows every time.
            long grown = 0;
            for (int attempt = 0; attempt < 3; attempt++)
            {
                long before = Used();
                for (int i = 0; i < Rounds; i++)
                    round();
                grown = Used() - before;
                Console.WriteLine($"        {what}: {grown} bytes more after {Rounds} rounds");
                if (grown < 100000)
                    return;
            }
            throw new FailedException($"{what}: {grown} bytes more after {Rounds} rounds");
        }

        private static void Round(Engine engine, Photo[] photos, bool dispose)
        {
            Encoded result = engine.Encode(photos);
            Encoded extended = engine.Extend(result.Identity, photos);
            Identity loaded = Identity.FromBytes(extended.Identity.ToBytes());
            Conditioning conditioning = engine.Condition(loaded);
            OwnedTensor tokens = loaded.Tokens(), keys = conditioning.Keys(0), values = conditioning.Values(1);
            var query = new float[conditioning.Layers[0].Width * 8];
            conditioning.Inject(new InjectCall(0), query, new float[query.Length], 8);
            if (!dispose)
                return;
            var all = new IDisposable[] { result, extended, loaded, conditioning, tokens, keys, values };
            foreach (IDisposable item in all)
                item.Dispose();
        }

        private static void DisposedRounds()
        {
            Photo[] photos = { Inputs.Pixels() };
            using (Engine engine = Engine.Open(Inputs.Model))
            {
                NoGrowth("disposed", () => Round(engine, photos, true));
                // The meter sees what is held: here a hundred identities.
                long before = Used();
                var held = new List<Identity>();
                for (int i = 0; i < 100; i++)
                    held.Add(engine.Encode(photos).Identity);
                long taken = Used() - before;
                Check.True(taken > 100000, $"100 identities take {taken} bytes: the meter does not work");
                held.ForEach(identity => identity.Dispose());
            }
        }

        private static void AbandonedRounds()
        {
            Photo[] photos = { Inputs.Pixels() };
            using (Engine engine = Engine.Open(Inputs.Model))
            {
                NoGrowth("abandoned", () => Round(engine, photos, false));
            }
        }

        private sealed class Thrower : IProgress<EncodeProgress>
        {
            public void Report(EncodeProgress value) => throw new InvalidTimeZoneException();
        }

        private static void FailedRounds()
        {
            Photo[] photos = { Inputs.Pixels() }, missing = { Photo.FromFile("/no/such/photo.png") };
            var thrower = new Thrower();
            using (Engine engine = Engine.Open(Inputs.Model))
            {
                NoGrowth("failed", () =>
                {
                    Check.Throws<InvalidTimeZoneException>(() => engine.Encode(photos, null, thrower));
                    Check.Throws<OmniIdIoException>(() => engine.Encode(missing));
                    Check.Throws<OmniIdIoException>(() => Identity.Load("/no/such/identity.omniid"));
                });
            }
        }

        private static void NoGarbage()
        {
            using (Engine engine = Engine.Open(Inputs.Model))
            using (Identity identity = engine.Encode(new[] { Inputs.Pixels() }).Identity)
            using (Conditioning conditioning = engine.Condition(identity))
            {
                var query = new float[16];
                var output = new float[16];
                var roles = new[] { Role.Conditional };
                var call = new InjectCall(0) { Fraction = 0.5 };
                for (int i = 0; i < 100; i++)
                    conditioning.Inject(call, query, output, 1, roles);
                long before = GC.GetAllocatedBytesForCurrentThread();
                for (int i = 0; i < 10000; i++)
                    conditioning.Inject(call, query, output, 1, roles);
                long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
                Check.True(allocated < 10000, $"10,000 injections allocated {allocated} bytes");
                before = GC.GetAllocatedBytesForCurrentThread();
                for (int i = 0; i < 1000; i++)
                    GC.KeepAlive(new byte[1000]);
                Check.True(GC.GetAllocatedBytesForCurrentThread() - before >= 1000000, "the meter does not work");
            }
        }
    }
}
