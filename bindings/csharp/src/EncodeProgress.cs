#nullable enable
namespace OmniID
{
    /// <summary>Progress of a long call: opening a model, encoding photos, projecting keys and values.</summary>
    public readonly struct EncodeProgress
    {
        /// <summary>Makes a progress message.</summary>
        public EncodeProgress(Stage stage, long done, long total)
        {
            Stage = stage;
            Done = done;
            Total = total;
        }

        /// <summary>What the call is doing, which also says what is counted.</summary>
        public Stage Stage { get; }

        /// <summary>Finished units of this stage: tensors, photos or layers.</summary>
        public long Done { get; }

        /// <summary>All units of this stage.</summary>
        public long Total { get; }

        /// <summary>Share of this stage that is finished, 0 to 1.</summary>
        public double Fraction => Total > 0 ? (double)Done / Total : 0.0;

        /// <summary>For example <c>Encode 2/5</c>.</summary>
        public override string ToString() => $"{Stage} {Done}/{Total}";
    }
}
