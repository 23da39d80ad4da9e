using System;

namespace OmniID.Tests
{
    /// <summary>The attention of an identity, in double precision and straight from its definition.</summary>
    internal static class Formula
    {
        /// <summary>factor × softmax(q Kᵀ / √d) V for queries <c>[rows, heads * head width]</c>.</summary>
        public static float[] Attend(float[] query, OwnedTensor keys, OwnedTensor values, HostLayer layer, float factor)
        {
            float[] k = keys.ToArray(), v = values.ToArray();
            int tokens = (int)keys.Shape[0], width = layer.Width, size = layer.HeadDim;
            var output = new float[query.Length];
            var weights = new double[tokens];
            for (int row = 0; row < query.Length / width; row++)
            {
                for (int head = 0; head < layer.Heads; head++)
                {
                    int start = head * size;
                    double largest = double.NegativeInfinity, sum = 0;
                    for (int t = 0; t < tokens; t++)
                    {
                        double dot = 0;
                        for (int i = 0; i < size; i++)
                            dot += (double)query[row * width + start + i] * k[t * width + start + i];
                        weights[t] = dot / Math.Sqrt(size);
                        largest = Math.Max(largest, weights[t]);
                    }
                    for (int t = 0; t < tokens; t++)
                        sum += weights[t] = Math.Exp(weights[t] - largest);
                    for (int i = 0; i < size; i++)
                    {
                        double mixed = 0;
                        for (int t = 0; t < tokens; t++)
                            mixed += weights[t] / sum * v[t * width + start + i];
                        output[row * width + start + i] = (float)(factor * mixed);
                    }
                }
            }
            return output;
        }
    }
}
