// Draws a person in eight views with ONNX Runtime: photos in, a contact sheet out. OmniID encodes the photos and fills
// the identity inputs of the graph; ONNX Runtime runs it.
//
//     Generate FOLDER SHEET.bmp PHOTO...
//
// FOLDER is what export.py has written. The pictures are those of `omniid generate` with its defaults. The class Ort
// declares what is called of ONNX Runtime's C API, so that nothing but libonnxruntime is needed; with the package
// Microsoft.ML.OnnxRuntime, OrtValue.CreateTensorValueFromMemory takes the same arrays.
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Runtime.InteropServices;
using System.Text;
using OmniID;

/// <summary>The part of ONNX Runtime's C API that this program calls: a table of functions in a fixed order.</summary>
internal static class Ort
{
    private static readonly IntPtr[] Table = ReadTable();

    [StructLayout(LayoutKind.Sequential)]
    private struct ApiBase
    {
        public IntPtr GetApi, GetVersionString;
    }

    [DllImport("onnxruntime")]
    private static extern IntPtr OrtGetApiBase();

    private delegate IntPtr GetApi(uint version);
    private delegate IntPtr GetText(IntPtr status);
    private delegate IntPtr CreateEnv(int logLevel, byte[] name, out IntPtr env);
    private delegate IntPtr CreateSession(IntPtr env, byte[] path, IntPtr options, out IntPtr session);
    private delegate IntPtr Run(IntPtr session, IntPtr options, IntPtr[] names, IntPtr[] inputs, UIntPtr count,
        IntPtr[] outputNames, UIntPtr outputCount, IntPtr[] outputs);
    private delegate IntPtr CreateOptions(out IntPtr options);
    private delegate IntPtr CreateTensor(IntPtr memory, IntPtr data, UIntPtr size, long[] shape, UIntPtr rank, int type,
        out IntPtr value);
    private delegate IntPtr GetData(IntPtr value, out IntPtr data);
    private delegate IntPtr CreateMemory(int allocator, int kind, out IntPtr memory);
    private delegate void Free(IntPtr handle);

    private static IntPtr[] ReadTable()
    {
        var entry = Marshal.PtrToStructure<ApiBase>(OrtGetApiBase());
        IntPtr api = Marshal.GetDelegateForFunctionPointer<GetApi>(entry.GetApi)(1);
        var table = new IntPtr[101];
        Marshal.Copy(api, table, 0, table.Length);
        return table;
    }

    private static T Function<T>(int place) => Marshal.GetDelegateForFunctionPointer<T>(Table[place]);

    private static void Check(IntPtr status)
    {
        if (status != IntPtr.Zero)
            throw new InvalidOperationException(Marshal.PtrToStringAnsi(Function<GetText>(2)(status)));
    }

    private static byte[] Text(string text) => Encoding.UTF8.GetBytes(text + "\0");

    /// <summary>A graph that is ready to run, with memory for its inputs.</summary>
    public sealed class Session : IDisposable
    {
        private readonly IntPtr env, options, memory, session;
        private readonly List<IntPtr> names = new List<IntPtr>(), values = new List<IntPtr>();
        private readonly List<GCHandle> pins = new List<GCHandle>();

        public Session(string path)
        {
            Check(Function<CreateEnv>(3)(2, Text("omniid"), out env));
            Check(Function<CreateOptions>(10)(out options));
            Check(Function<CreateSession>(7)(env, Text(path), options, out session));
            Check(Function<CreateMemory>(69)(1, 0, out memory));
        }

        /// <summary>Numbers of an input. They are read at each run where they are.</summary>
        public void Add(string name, float[] numbers, params long[] shape)
        {
            GCHandle pin = GCHandle.Alloc(numbers, GCHandleType.Pinned), text = GCHandle.Alloc(Text(name),
                GCHandleType.Pinned);
            pins.Add(pin);
            pins.Add(text);
            Check(Function<CreateTensor>(49)(memory, pin.AddrOfPinnedObject(), (UIntPtr)(4 * numbers.Length), shape,
                (UIntPtr)shape.Length, 1, out IntPtr value));
            names.Add(text.AddrOfPinnedObject());
            values.Add(value);
        }

        /// <summary>Runs the graph; gives `count` numbers of an output.</summary>
        public float[] Compute(string output, int count)
        {
            GCHandle name = GCHandle.Alloc(Text(output), GCHandleType.Pinned);
            var results = new IntPtr[1];
            try
            {
                Check(Function<Run>(9)(session, IntPtr.Zero, names.ToArray(), values.ToArray(), (UIntPtr)values.Count,
                    new[] { name.AddrOfPinnedObject() }, (UIntPtr)1, results));
            }
            finally
            {
                name.Free();
            }
            Check(Function<GetData>(51)(results[0], out IntPtr data));
            var numbers = new float[count];
            Marshal.Copy(data, numbers, 0, count);
            Function<Free>(96)(results[0]);
            return numbers;
        }

        public void Dispose()
        {
            values.ForEach(value => Function<Free>(96)(value));
            pins.ForEach(pin => pin.Free());
            Function<Free>(94)(memory);
            Function<Free>(95)(session);
            Function<Free>(100)(options);
            Function<Free>(92)(env);
        }
    }
}

internal static class Generate
{
    private const int Steps = 4, Columns = 4, Enlarged = 2;
    private const float Guidance = 1.25f;

    private static int Main(string[] arguments)
    {
        if (arguments.Length < 3)
        {
            Console.Error.WriteLine("usage: Generate FOLDER SHEET.bmp PHOTO...");
            return 2;
        }
        string folder = arguments[0];
        float[] noise = Floats(folder, "noise.f32"), views = Floats(folder, "views.f32");
        int count = File.ReadAllLines(Path.Combine(folder, "views.txt")).Length, pixels = noise.Length;
        int rows = 2 * count, width = views.Length / count, side = (int)Math.Round(Math.Sqrt(pixels / 3.0));
        string model = Path.Combine(folder, "generator.onnx");
        // Rows of the batch: all views of the person, then all views of nobody.
        Role[] roles = Enumerable.Range(0, rows).Select(row => row < count ? Role.Conditional : Role.Unconditional)
            .ToArray();
        float[] x = Enumerable.Repeat(noise, rows).SelectMany(values => values).ToArray(), time = new float[rows];

        using (Engine engine = Engine.OpenBuiltIn())
        using (Encoded encoded = engine.Encode(arguments.Skip(2).Select(Photo.FromFile).ToArray()))
        using (Conditioning person = engine.Condition(encoded.Identity))
        using (Graph graph = Graph.Open(model))
        using (var session = new Ort.Session(model))
        {
            session.Add("picture", x, rows, 3, side, side);
            session.Add("time", time, rows);
            session.Add("view", views.Concat(views).ToArray(), rows, width);
            var call = new GraphCall(1f);
            var buffers = new List<GraphBuffer>();
            foreach (GraphInput input in graph.Inputs)
            {
                GraphShape shape = graph.Shape(person, input, call, roles);
                var numbers = new float[shape.ByteSize / sizeof(float)];
                buffers.Add(new GraphBuffer(input.Name, numbers));
                session.Add(input.Name, numbers, shape.Dimensions.Select(size => (long)size).ToArray());
            }
            graph.Fill(person, buffers, call, roles);
            for (int step = 0; step < Steps; step++)
            {
                float now = (float)step / Steps, after = (float)(step + 1) / Steps;
                for (int row = 0; row < rows; row++)
                    time[row] = now;
                float[] clean = session.Compute("clean", rows * pixels);
                for (int i = 0; i < count * pixels; i++)
                {
                    float nobody = clean[count * pixels + i];
                    float guided = nobody + (clean[i] - nobody) * Guidance;
                    x[i] += (guided - x[i]) * (1f / (1f - now)) * (after - now);
                    x[count * pixels + i] = x[i];
                }
            }
        }
        File.WriteAllBytes(arguments[1], Sheet(x, count, side));
        Console.WriteLine($"{arguments[1]}: {count} views");
        return 0;
    }

    private static float[] Floats(string folder, string name) =>
        MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(Path.Combine(folder, name))).ToArray();

    /// <summary>Pictures <c>[count, 3, side, side]</c>, −1 to 1, side by side and enlarged, as BMP.</summary>
    private static byte[] Sheet(float[] pictures, int count, int side)
    {
        int cell = side * Enlarged, width = Columns * cell, height = (count + Columns - 1) / Columns * cell;
        const int Head = 54;
        var file = new byte[Head + 3 * width * height];
        file[0] = (byte)'B';
        file[1] = (byte)'M';
        int[] places = { 2, 10, 14, 18, 22 }, numbers = { file.Length, Head, 40, width, height };
        for (int i = 0; i < places.Length; i++)
            BitConverter.GetBytes(numbers[i]).CopyTo(file, places[i]);
        file[26] = 1;
        file[28] = 24;
        for (int i = 0; i < width * height; i++)
        {
            // The bottom row first, blue before green before red.
            int y = height - 1 - i / width, column = i % width, picture = y / cell * Columns + column / cell;
            int pixel = y % cell / Enlarged * side + column % cell / Enlarged;
            for (int channel = 0; channel < 3 && picture < count; channel++)
            {
                float value = pictures[((picture * 3 + channel) * side * side) + pixel];
                double level = Math.Round((value + 1f) * 127.5f);
                file[Head + 3 * i + 2 - channel] = (byte)Math.Min(Math.Max(level, 0), 255);
            }
        }
        return file;
    }
}
