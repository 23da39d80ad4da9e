using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Threading;
using System.Threading.Tasks;

namespace OmniID.Tests
{
    /// <summary>Wrong use ends in an exception, never in a crash.</summary>
    internal static class MisuseTests
    {
        public static IEnumerable<Test> All()
        {
            yield return new Test("misuse: disposed objects", Disposed);
            yield return new Test("misuse: disposed during calls", DisposedDuringCalls);
            yield return new Test("misuse: wrong shapes", WrongShapes);
            yield return new Test("misuse: wrong arguments", WrongArguments);
            yield return new Test("misuse: broken files", BrokenFiles);
            yield return new Test("misuse: every status has its exception", EveryStatus);
            yield return new Test("misuse: messages belong to their thread", MessagesPerThread);
            yield return new Test("misuse: exceptions in the progress listener", ProgressThrows);
            yield return new Test("misuse: calls from inside the progress listener", ProgressCalls);
            yield return new Test("misuse: exceptions in the log listener", LogThrows);
        }

        private static void Disposed()
        {
            Engine engine = Engine.Open(Inputs.Model);
            Identity identity = engine.Encode(new[] { Inputs.Pixels() }).Identity;
            Conditioning conditioning = engine.Condition(identity);
            OwnedTensor tokens = identity.Tokens(), keys = conditioning.Keys(0);
            float[] before = tokens.ToArray();
            engine.Dispose();
            engine.Dispose();
            Check.Throws<ObjectDisposedException>(() => engine.Encode(new[] { Inputs.Pixels() }), "Engine");
            Check.Throws<ObjectDisposedException>(() => engine.Similarity(identity, identity), "Engine");
            Check.Throws<ObjectDisposedException>(() => engine.DetectFaces(Inputs.Pixels()), "Engine");
            identity.Dispose();
            Check.Throws<ObjectDisposedException>(() => identity.ToBytes(), "Identity");
            Check.Throws<ObjectDisposedException>(() => identity.Tokens(), "Identity");
            using (Engine other = Engine.Open(Inputs.Model))
                Check.Throws<ObjectDisposedException>(() => other.Condition(identity), "Identity");
            // What was made from them lives on.
            Check.SameBits(before, tokens.ToArray(), "tokens of a freed identity");
            conditioning.Inject(new InjectCall(0), new float[16], new float[16], 1);
            conditioning.Dispose();
            Check.Throws<ObjectDisposedException>(() =>
                conditioning.Inject(new InjectCall(0), new float[16], new float[16], 1), "Conditioning");
            Check.Throws<ObjectDisposedException>(() => conditioning.Keys(0), "Conditioning");
            Check.True(keys.ToArray().Any(v => v != 0), "keys of a freed conditioning");
            keys.Dispose();
            keys.Dispose();
            Check.Throws<ObjectDisposedException>(() => keys.ToArray(), "OwnedTensor");
            tokens.Dispose();
        }

        private static void DisposedDuringCalls()
        {
            Engine engine = Engine.Open(Inputs.Model);
            Identity identity = engine.Encode(new[] { Inputs.Pixels() }).Identity;
            Conditioning conditioning = engine.Condition(identity);
            int calls = 0;
            Thread[] threads = Enumerable.Range(0, 4).Select(_ => new Thread(() =>
            {
                var query = new float[16 * 64];
                var output = new float[query.Length];
                try
                {
                    while (true)
                    {
                        conditioning.Inject(new InjectCall(0), query, output, 64);
                        Interlocked.Increment(ref calls);
                    }
                }
                catch (ObjectDisposedException)
                {
                }
            })).ToArray();
            foreach (Thread thread in threads)
                thread.Start();
            SpinWait.SpinUntil(() => Volatile.Read(ref calls) > 100, 10000);
            Task<Encoded> encode = engine.EncodeAsync(new[] { Inputs.Pixels(), Inputs.Pixels(2) });
            engine.Dispose();
            identity.Dispose();
            conditioning.Dispose();
            foreach (Thread thread in threads)
                Check.True(thread.Join(10000), "a thread did not end");
            try
            {
                encode.Result.Dispose();
            }
            catch (AggregateException exception)
            {
                // It may not have begun before the engine was disposed of.
                Check.True(exception.InnerException is ObjectDisposedException, exception.ToString());
            }
            Check.True(calls > 100, "the threads did not run");
        }

        private static void WrongShapes()
        {
            using (Engine engine = Engine.Open(Inputs.Model))
            using (Identity identity = engine.Encode(new[] { Inputs.Pixels() }).Identity)
            using (Conditioning conditioning = engine.Condition(identity))
            {
                int width = conditioning.Layers[0].Width;
                Check.Throws<ArgumentException>(() =>
                    conditioning.Inject(new InjectCall(0), new float[width + 1], new float[width + 1], 1),
                    "multiple of");
                Check.Throws<ArgumentException>(() =>
                    conditioning.Inject(new InjectCall(0), new float[width], new float[2 * width], 1), "output");
                Check.Throws<ArgumentException>(() => conditioning.Inject(new InjectCall(0), default, default, 1),
                    "query");
                Check.Throws<ArgumentOutOfRangeException>(() =>
                    conditioning.Inject(new InjectCall(9), new float[width], new float[width], 1), "2 layers");
                Check.Throws<ArgumentOutOfRangeException>(() =>
                    conditioning.Inject(new InjectCall(-1), new float[width], new float[width], 1));
                Check.Throws<ArgumentOutOfRangeException>(() =>
                    conditioning.Inject(new InjectCall(0), new float[width], new float[width], 0));
                Check.Throws<OmniIdException>(() =>
                    conditioning.Inject(new InjectCall(0), new float[3 * width], new float[3 * width], 1,
                        new[] { Role.Conditional, Role.Unconditional }));
                Check.Throws<ArgumentException>(() => identity.CopyTokens(new float[3]), "the destination has 3");
                Check.Throws<OmniIdException>(() => conditioning.Keys(7));
                Check.Throws<ArgumentOutOfRangeException>(() => conditioning.Keys(-1));
                Check.Throws<ArgumentException>(() => TensorView.Create(IntPtr.Zero, ElementType.F32, new long[5]));
                Check.Throws<ArgumentException>(() =>
                    TensorView.Create(IntPtr.Zero, ElementType.F32, new long[2], new long[1]));
                var wrong = new long[] { 1, 1, width + 1 };
                Check.Throws<OmniIdMismatchException>(() => InjectViews(conditioning, wrong));
                TensorView nowhere = TensorView.Create(IntPtr.Zero, ElementType.F32, new long[] { 1, 1, width });
                Check.Throws<OmniIdException>(() => conditioning.Inject(new InjectCall(0), nowhere, default));
                var bad = new float[width];
                bad[3] = float.NaN;
                Check.Throws<OmniIdInvalidArgumentException>(() =>
                    conditioning.Inject(new InjectCall(0), bad, new float[width], 1), "finite");
            }
        }

        private static unsafe void InjectViews(Conditioning conditioning, long[] shape)
        {
            var memory = new float[1000];
            fixed (float* first = memory)
                conditioning.Inject(new InjectCall(0), TensorView.Create((IntPtr)first, ElementType.F32, shape),
                    TensorView.Create((IntPtr)(first + 500), ElementType.F32, shape));
        }

        private static void WrongArguments()
        {
            Check.Throws<OmniIdIoException>(() => Engine.Open("/no/such/model.safetensors"),
                "/no/such/model.safetensors");
            Check.Throws<ArgumentNullException>(() => Engine.Open((string)null));
            Check.Throws<ArgumentException>(() => Engine.Open("model\0.safetensors"), "U+0000");
            Check.Throws<ArgumentException>(() => Photo.FromPixels(new ReadOnlyMemory<byte>(new byte[10]), 2, 2),
                "need 12 bytes");
            Check.Throws<ArgumentException>(() =>
                Photo.FromPixels(new ReadOnlyMemory<byte>(new byte[10]), int.MaxValue, int.MaxValue, ChannelOrder.Rgba,
                    long.MaxValue));
            Check.Throws<ArgumentOutOfRangeException>(() =>
                Photo.FromPixels(new ReadOnlyMemory<byte>(new byte[10]), -1, 2));
            Check.Throws<ArgumentOutOfRangeException>(() =>
                Photo.FromPixels(new ReadOnlyMemory<byte>(new byte[12]), 2, 2, ChannelOrder.Rgb, 3));
            Check.Throws<ArgumentException>(() => Photo.FromBytes(new byte[0]));
            Check.Throws<ArgumentException>(() => FaceSelection.AtLandmarks(new float[9]), "ten numbers");
            using (Engine engine = Engine.Open(Inputs.Model))
            using (Identity identity = engine.Encode(new[] { Inputs.Pixels() }).Identity)
            {
                Check.Throws<OmniIdInvalidArgumentException>(() => engine.Encode(new Photo[0]));
                Check.Throws<ArgumentNullException>(() => engine.Encode((IReadOnlyList<Photo>)null));
                Check.Throws<ArgumentException>(() => engine.Encode(new Photo[] { null }), "Photo 0 is null");
                Check.Throws<OmniIdInvalidArgumentException>(() =>
                    engine.Encode(new[] { Inputs.Pixels() }, new EncodeOptions { Crop = (Crop)99 }));
                Check.Throws<OmniIdInvalidArgumentException>(() => engine.Condition(new ConditioningInput[0]));
                Check.Throws<ArgumentException>(() => engine.Condition(new ConditioningInput[] { null }),
                    "Identity 0 is null");
                Check.Throws<ArgumentException>(() => new ConditioningInput(identity).SetMask(new float[3], 2, 2),
                    "has 4 values");
                Check.Throws<OmniIdException>(() =>
                    engine.Condition(new[] { new ConditioningInput(identity) },
                        new ConditioningOptions { LayerScales = new float[1] }));
                using (Identity small = identity.WithoutFeatures())
                    Check.Throws<OmniIdUnsupportedException>(() => engine.Extend(small, new[] { Inputs.Pixels() }));
            }
        }

        private static void BrokenFiles()
        {
            using (Engine engine = Engine.Open(Inputs.Model))
            using (Identity identity = engine.Encode(new[] { Inputs.Pixels() }).Identity)
            {
                byte[] bytes = identity.ToBytes();
                var random = new Random(5);
                for (int i = 0; i < 200; i++)
                {
                    byte[] broken = bytes.Take(random.Next(1, bytes.Length)).ToArray();
                    Check.Throws<OmniIdException>(() => Identity.FromBytes(broken));
                }
                Check.Throws<ArgumentException>(() => Identity.FromBytes(default));
                Check.Throws<OmniIdException>(() => engine.Encode(new byte[] { 1, 2, 3 }.AsSpan()));
                Check.Throws<OmniIdIoException>(() => identity.Save("/no/such/folder/a.omniid"), "/no/such/folder");
            }
            string path = Path.Combine(Inputs.Folder, "broken.safetensors");
            File.WriteAllBytes(path, new byte[] { 1, 2, 3, 4, 5, 6, 7, 8, 9 });
            Check.Throws<OmniIdFormatException>(() => Engine.Open(path));
        }

        private static void EveryStatus()
        {
            MethodInfo of = typeof(OmniIdException).GetMethod("Of", BindingFlags.Static | BindingFlags.NonPublic);
            foreach (Status status in Enum.GetValues(typeof(Status)))
            {
                if (status == Status.Ok)
                    continue;
                var exception = (Exception)of.Invoke(null, new object[] { status, "why" });
                Check.Equal("why", exception.Message, "message");
                if (status == Status.Cancelled)
                {
                    Check.True(exception is OperationCanceledException, exception.ToString());
                    continue;
                }
                Check.Equal($"OmniId{status}Exception", exception.GetType().Name, "class");
                Check.Equal(status, ((OmniIdException)exception).Status, "status");
            }
            object unknown = of.Invoke(null, new object[] { (Status)77, "why" });
            Check.Equal(typeof(OmniIdException), unknown.GetType(), "class for an unknown status");
        }

        private static void MessagesPerThread()
        {
            Parallel.For(0, 200, i =>
            {
                Check.Throws<OmniIdIoException>(() => Identity.Load($"/no/such/{i}.omniid"), $"/no/such/{i}.omniid");
            });
        }

        private sealed class Listener : IProgress<EncodeProgress>
        {
            private readonly Action<EncodeProgress> action;

            public Listener(Action<EncodeProgress> action)
            {
                this.action = action;
            }

            public void Report(EncodeProgress value) => action(value);
        }

        private static void ProgressThrows()
        {
            var thrown = new InvalidTimeZoneException("mine");
            var listener = new Listener(_ => throw thrown);
            Check.True(ReferenceEquals(thrown,
                Check.Throws<InvalidTimeZoneException>(() => Engine.Open(Inputs.Model, listener))),
                "another exception");
            using (Engine engine = Engine.Open(Inputs.Model))
            using (Identity identity = engine.Encode(new[] { Inputs.Pixels() }).Identity)
            {
                Check.True(ReferenceEquals(thrown,
                    Check.Throws<InvalidTimeZoneException>(() => engine.Encode(Inputs.Photos(), null, listener))),
                    "another exception");
                Check.Throws<InvalidTimeZoneException>(() => engine.Extend(identity, Inputs.Photos(), null, listener));
                Check.Throws<InvalidTimeZoneException>(() =>
                    engine.Condition(new[] { new ConditioningInput(identity) }, null, listener));
                Task<Encoded> task = engine.EncodeAsync(Inputs.Photos(), null, listener);
                Check.True(ReferenceEquals(thrown, Check.Throws<AggregateException>(() => task.Wait()).InnerException),
                    "another exception");
                // The engine is none the worse.
                Check.SameBits(Inputs.Floats("tokens.bin"), engine.Encode(Inputs.Photos()).Identity.Tokens().ToArray(),
                    "tokens afterwards");
            }
        }

        private static void ProgressCalls()
        {
            using (Engine engine = Engine.Open(Inputs.Model))
            {
                int calls = 0, here = Thread.CurrentThread.ManagedThreadId;
                var listener = new Listener(_ =>
                {
                    calls++;
                    Check.Equal(here, Thread.CurrentThread.ManagedThreadId, "thread of the listener");
                    using (Identity inner = engine.Encode(new[] { Inputs.Pixels() }).Identity)
                    using (Conditioning conditioning = engine.Condition(inner))
                        conditioning.Inject(new InjectCall(0), new float[16], new float[16], 1);
                    GC.Collect();
                    engine.Dispose();
                });
                // The first message disposes of the engine; the call that uses it ends well all the same, the next in
                // the listener does not begin.
                Check.Throws<ObjectDisposedException>(() => engine.Encode(Inputs.Photos(), null, listener), "Engine");
                Check.Equal(2, calls, "messages");
            }
        }

        private static void LogThrows()
        {
            int messages = 0;
            Exception inside = null;
            Log.Set((level, target, message) =>
            {
                Interlocked.Increment(ref messages);
                if (inside == null)
                {
                    try
                    {
                        Log.Remove();
                    }
                    catch (Exception exception)
                    {
                        inside = exception;
                    }
                }
                throw new InvalidTimeZoneException("mine");
            }, LogLevel.Trace);
            try
            {
                using (Engine engine = Engine.Open(Inputs.Model))
                    engine.Encode(Inputs.PhotosToLogAbout()).Dispose();
            }
            finally
            {
                Log.Remove();
            }
            Check.True(messages > 0, "no messages");
            Check.True(Log.LastException is InvalidTimeZoneException, "the exception was lost");
            Check.True(inside is OmniIdInvalidArgumentException, $"removal from inside the listener: {inside}");
            int before = messages;
            using (Engine engine = Engine.Open(Inputs.Model))
                engine.Encode(Inputs.PhotosToLogAbout()).Dispose();
            Check.Equal(before, messages, "messages after the removal");
        }
    }
}
