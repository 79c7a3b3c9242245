
// Luma and chroma, in levels of eight bits, as ITU-R BT.601 has them in limited range.
vec3 bt601(vec3 samples) {
    // What red and blue are worth of luma; the rest is green.
    const float RED = 0.299;
    const float BLUE = 0.114;
    const float GREEN = 1.0 - RED - BLUE;
    float luma = (samples.x - 16.0) / 219.0;
    vec2 chroma = (samples.yz - 128.0) / 112.0;
    float blue = chroma.x * (1.0 - BLUE);
    float red = chroma.y * (1.0 - RED);
    return luma + vec3(red, -(blue * BLUE + red * RED) / GREEN, blue);
}
