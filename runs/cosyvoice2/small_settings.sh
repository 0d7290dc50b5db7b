# Sourced by small.sh and small_voice.sh in the folder of a run: settings of run.sh.
# $here is this folder.

PYTHON=${PYTHON:-python}
repository=$(cd "$here/../.." && pwd)
export PYTHONPATH=$repository${PYTHONPATH:+:$PYTHONPATH} OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} PYTHON
export train_parts=train dev_parts=valid data_dir=. pretrained_model_dir=pretrained
export config=small.yaml dist_backend=gloo num_gpus=2 num_workers=0 num_utts=${NUM_UTTS:-500}
export speaker_encoder=pretrained/campplus.safetensors speech_tokenizer=pretrained/tokenizer
export num_threads=1 num_processes=1 average_num=3
# Processors without bfloat16 instructions emulate them, several times slower than float32.
export use_amp=false
if grep -qsE 'avx512_bf16|amx_bf16' /proc/cpuinfo; then use_amp=true; fi

align() { # align: which phoneme is said when, for the language model
    stage align sled align --manifest cuts_train.jsonl.gz --output aligned_train.jsonl.gz \
        --text_normalization english-phonemes --max_steps "$ALIGN_STEPS" --num_workers 0 --device cpu
    # Not a stage: a table of speech tokens may have become longer.
    sled cache spoken --input data/train --manifest aligned_train.jsonl.gz \
        --tokenizer pretrained/CosyVoice-BlankEN --text_normalization english-phonemes
}
