#nullable enable
using System;
using OmniID.Native;

namespace OmniID
{
    /// <summary>One attention layer of a host.</summary>
    public sealed class HostLayer
    {
        /// <summary>Describes a layer.</summary>
        /// <param name="name">The host's own name of the layer; must be unique.</param>
        /// <param name="heads">Number of attention heads.</param>
        /// <param name="headDim">Width of one head.</param>
        /// <param name="context">Width of the tokens that keys and values are projected from.</param>
        public HostLayer(string name, int heads, int headDim, int context)
        {
            Name = name ?? throw new ArgumentNullException(nameof(name));
            Heads = heads;
            HeadDim = headDim;
            Context = context;
        }

        internal unsafe HostLayer(in NativeHostLayer native)
            : this(NativeText.Read(native.Name), (int)native.Heads, (int)native.HeadDim, (int)native.Context)
        {
            Hidden = (int)native.Hidden;
        }

        /// <summary>
        /// Width of the image's hidden state, for a layer that adds to the residual stream
        /// (<see cref="Conditioning.InjectResidual(in ResidualCall, System.Span{float}, int, System.ReadOnlySpan{Role})"/>);
        /// 0 for a layer inside an attention, and for a width that the checkpoint says.
        /// </summary>
        public int Hidden { get; set; }

        /// <summary>The host's own name of the layer.</summary>
        public string Name { get; }

        /// <summary>Number of attention heads.</summary>
        public int Heads { get; }

        /// <summary>Width of one head.</summary>
        public int HeadDim { get; }

        /// <summary>Width of the tokens that keys and values are projected from.</summary>
        public int Context { get; }

        /// <summary>Width of the layer's queries: heads times head width.</summary>
        public int Width => Heads * HeadDim;

        internal unsafe NativeHostLayer ToNative(Pins pins)
        {
            NativeHostLayer native = NativeHostLayer.Create();
            native.Heads = Convert.ToUInt32(Heads);
            native.HeadDim = Convert.ToUInt32(HeadDim);
            native.Context = Convert.ToUInt32(Context);
            native.Hidden = Convert.ToUInt32(Hidden);
            native.Name = pins.Text(Name, nameof(Name));
            return native;
        }
    }
}
